"""From the command line to running deployments: provision, start, watch, and the demo that shows it all."""
