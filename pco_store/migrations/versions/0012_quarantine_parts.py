"""In which part of its run a place stands aside: each part has a list of its own, with places of its own."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """A column whose default is a constant: nothing is rewritten, and nobody waits."""
    op.execute("ALTER TABLE sync.quarantine ADD COLUMN part integer NOT NULL DEFAULT 0")
