"""The ledger's pages carry no digest any more: it was read by nobody. Programs of the version before still write it."""

from alembic import op

revision = "0019"
down_revision = "0016"


def upgrade() -> None:
    """Let it be null; the column goes with the first migration that no such program can meet."""
    op.execute("ALTER TABLE sync.pages ALTER COLUMN digest DROP NOT NULL")
