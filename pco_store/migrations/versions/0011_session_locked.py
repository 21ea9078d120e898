"""Whether the holder of a run has locked its session: only then does a lock that can be taken prove it dead."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; whoever holds a run while this is applied is given its lease."""
    op.execute("ALTER TABLE sync.runs ADD COLUMN session_locked boolean NOT NULL DEFAULT false")
