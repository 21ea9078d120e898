"""The index of links by record begins with the id.

One that began with org_id and entity as the primary key does was as good to Postgres while it knew nothing of the
table: in a first sync each list that was read looked through all links of its kind.
"""

from alembic import op

revision = "0030"
down_revision = "0029"

INDEXES_AHEAD = {"links_by_id": "ON sync.links (id, entity, org_id)"}

STATEMENTS = (
    *(f"CREATE INDEX IF NOT EXISTS {name} {what}" for name, what in INDEXES_AHEAD.items()),
    "DROP INDEX IF EXISTS sync.links_of_record",
)


def upgrade() -> None:
    """One index for another, which was built before (`pco_store.ahead`)."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
