"""Draws the pictures of the README from a real run: `make screenshots`."""
