"""Opening a run, holding its lease, and what is said of one that is not started.

Enter by `working.working`: the run is opened as requested, held while the block runs, and closed in the ledger if the
block raises. Nothing here reads a page.
"""
