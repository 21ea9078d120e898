"""The simulator as an OAuth provider: consent, tokens, both of Doorkeeper's ways to rotate them, and bad days."""
