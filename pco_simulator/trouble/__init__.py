"""Bad answers in place of good ones: which requests meet them, and what they look like."""
