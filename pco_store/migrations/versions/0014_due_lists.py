"""When each list below a parent was read last, and when it is due."""

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    """
    CREATE TABLE sync.lists (
        org_id text NOT NULL,
        entity text NOT NULL,
        path text NOT NULL,
        scope text NOT NULL,
        last_read_at timestamptz,
        requests integer NOT NULL DEFAULT 1,
        due_at timestamptz NOT NULL,
        pace_seconds integer NOT NULL,
        parent_seen bigint,
        changed_at timestamptz,
        CONSTRAINT lists_pkey PRIMARY KEY (org_id, path, scope)
    )
    """,
    "CREATE INDEX lists_due ON sync.lists (org_id, due_at)",
)


def upgrade() -> None:
    """A new table. It is filled from the mirror, and from the ledger's fan-outs, by the first night of each church."""
    for statement in STATEMENTS:
        op.execute(statement)
