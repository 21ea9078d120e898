"""From a request that is understood to a good answer: whose it is, what it selects, and the document that shows it."""
