"""Opening a run, holding its lease, and what is said of one that is not started.

Enter by `opening.opened_run` and `holding.held`; `opening.close_unfinished` ends a run that failed. Nothing here reads
a page.
"""
