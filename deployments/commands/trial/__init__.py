"""Commands for whoever looks at pco-sync for the first time: everything from nothing, with an invented church."""
