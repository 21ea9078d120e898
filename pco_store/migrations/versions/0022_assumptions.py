"""What the doctor found out about each church."""

from alembic import op

revision = "0022"
down_revision = "0021"

ASSUMPTIONS = """
    CREATE TABLE sync.assumptions (
        org_id text NOT NULL,
        subject text NOT NULL,
        assumption text NOT NULL,
        verdict text NOT NULL,
        seen text NOT NULL,
        examined_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT assumptions_pkey PRIMARY KEY (org_id, subject, assumption)
    )
"""


def upgrade() -> None:
    """A new table."""
    op.get_bind().exec_driver_sql(ASSUMPTIONS)
