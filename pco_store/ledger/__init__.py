"""Runs, pages and children: what is committed, by whom, and who may commit next.

Enter by `openings` and `leases` (who may run), `page_commit` (a page and its rows), `children` and `submissions`
(fan-outs). It knows the mirror; nothing here knows Prefect or Planning Center.
"""
