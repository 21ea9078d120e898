"""The lists below parents are counted once for a church, and not again for each of its kinds.

A church of 20,000 people has a quarter of a million of them. How many belong to a kind Postgres cannot guess, so it
may read all of them 220 times, fifteen seconds whenever somebody asks how current that church is.
"""

import importlib

from alembic import op

revision = "0027"
down_revision = "0026"

BEFORE = importlib.import_module("pco_store.migrations.versions.0025_own_lists").LIVE_FACTS
FOR_EACH_KIND = importlib.import_module("pco_store.migrations.versions.0024_table_facts").LISTS

FROM_BEFORE = (
    "FROM sync.unkept_churches AS church CROSS JOIN sync.kinds AS kind\n"
    f"    LEFT JOIN LATERAL ({FOR_EACH_KIND}) AS list ON kind.paths <> '{{}}'"
)
ONCE = """FROM sync.unkept_churches AS church CROSS JOIN LATERAL (
        WITH counted AS MATERIALIZED (
            SELECT path, count(*) AS lists, count(*) FILTER (WHERE last_read_at IS NULL) AS never_read,
                   count(*) FILTER (WHERE is_refused) AS refused, min(last_read_at) AS oldest,
                   max(last_read_at) AS newest, min(due_at) AS first_due
            FROM sync.lists WHERE org_id = church.org_id GROUP BY path)
        SELECT kind.*, list.path, list.lists, list.never_read, list.refused, list.oldest, list.first_due
        FROM sync.kinds AS kind LEFT JOIN LATERAL (
            SELECT * FROM counted WHERE path = ANY(kind.paths) ORDER BY newest DESC NULLS LAST, path LIMIT 1
        ) AS list ON true) AS kind"""
"""Of several ways to the same records, the one that was read last."""

HEAD, TAIL = BEFORE.split(FROM_BEFORE)
LIVE_FACTS = HEAD.replace("list.", "kind.") + ONCE + TAIL


def upgrade() -> None:
    """A view in place of itself, that says the same."""
    op.get_bind().exec_driver_sql(LIVE_FACTS)
