"""A church's consent to be read by OAuth: from the link to the stored tokens."""
