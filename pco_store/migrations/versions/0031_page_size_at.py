"""When a church's list was found to answer small pages only: after a month larger ones get another chance.

Of what was noted before nobody knows when, so it gets that chance at once.
"""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """A column that older programs do not write."""
    op.execute("ALTER TABLE sync.list_traits ADD COLUMN page_size_at timestamptz")
