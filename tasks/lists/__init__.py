"""A list of Planning Center's, read from its first page to the end of its run in the ledger.

Enter by `reading.read_list`, for a run that is ours; how its pages are processed, as Prefect tasks or directly, is the
caller's choice. Nothing here starts flow runs, or decides what is read next.
"""
