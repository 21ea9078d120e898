"""The mirrored rows: tables made from the catalogue, and everything that writes to them.

Enter by `tables.mirror_table` and `upsert.upsert_rows`. Older never replaces newer, and what a reading does not know
never erases what another one knew (`upsert_rules`). Nothing here knows runs, leases or pages.
"""
