"""A file that ends the program that imports it."""

raise SystemExit("no flow to be had here")
