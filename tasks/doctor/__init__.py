"""Whether a church's Planning Center keeps to what the design rests on: one look, before the first sync.

Enter at `examination.examine`. It sends GET requests only, through the governor, and never writes: what it found out
is kept by `pco_store.verdicts`. Nothing here keeps a value of a record: findings are shapes, counts and names.
"""
