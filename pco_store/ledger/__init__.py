"""Runs, pages and children: what is committed, by whom, and who may commit next.

Enter by `openings` and `leases` (who may run) and `page_commit` (a page and its rows); the wings are `fan_out`,
`deletions` and `proving`. It knows the mirror; nothing here knows Prefect or Planning Center.
"""
