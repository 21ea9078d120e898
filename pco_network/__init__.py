"""What goes wrong on the way to a server, in words, and which requests go through a proxy. Knows nothing of ours."""
