"""Commands for a first look at pco-sync: everything from nothing, with an invented church."""
