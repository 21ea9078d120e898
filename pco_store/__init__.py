"""The mirror and the ledger in Postgres: tables, upserts, runs, leases. Knows neither PCO's API nor Prefect."""
