"""How runs ended: their own summaries, and the ends that Prefect does not show yet."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    "ALTER TABLE sync.runs ADD COLUMN result jsonb",
    """
    CREATE TABLE sync.unshown (
        run_id bigint PRIMARY KEY,
        changes integer NOT NULL DEFAULT 1,
        noted_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    """A column without a default and a new table: nothing is rewritten, and nobody waits."""
    for statement in STATEMENTS:
        op.execute(statement)
