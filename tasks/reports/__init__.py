"""What a sync did, as people and programs see it: summaries, artifacts, progress and states.

Enter by `outcomes.end_of`, the only place where an end is decided. Summaries are made from the ledger's facts; a report
that cannot be published never fails a sync. No record's values and no secrets stand in any of them.
"""
