"""Commands for the shell that pco-sync is called from."""
