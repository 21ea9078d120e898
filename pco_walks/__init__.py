"""Read a moving offset list exactly: which page to read next, and when nothing can have been missed.

Pure: no I/O, no clock, no database, no Prefect. Choose a `Window` (`choose_window`), make a `PartWalks` of it, fetch
the pages that `ready()` names with any client, and give each answer to `record()` until `is_finished`. A walk that was
interrupted continues when the answers of the pages that were kept are given to `replay()` first.
examples/read_exactly.py does this with `pco_client` alone.

The proofs are in docs/adr: 0005 (back to front), 0014 (newest first) and 0015 (windows of time).
"""
