"""What concerns a church as a whole beside its syncs: what Redis has of it, and how that is forgotten.

Enter by `forgetting.py`. Postgres is not touched here: `pco_store.churches` removes rows.
"""
