"""How current each church is, and what the ledger holds of trouble, in Prometheus' text format.

Enter by `resident.stay`, which a warm worker keeps beside its runs. Nothing here counts by itself or remembers:
every number is read from the ledger, so that all workers answer the same. No label but the church's org_id and the
states of runs; no record's values, no names of churches.
"""
