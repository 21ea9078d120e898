"""How current each table of each church is: the view `sync.freshness`, made from what the ledger shows.

Enter by `reading`. The view stands in a migration; `kinds` keeps what it has to know of the catalogue. Nothing here
stores a verdict: it is made from runs, watermarks, lists and quarantine whenever somebody asks.
"""
