"""What a night had no budget to ask for is decided by a later one: its lists stay due until then."""

import importlib

from alembic import op

revision = "0032"
down_revision = "0031"

EARLIER = importlib.import_module("pco_store.migrations.versions.0028_with_owners_below_parents")

UNDECIDED = f"""{EARLIER.UNDECIDED.rstrip()}
      AND NOT (run.deletions ->> 'verdict' = 'over_budget' AND EXISTS (
          SELECT FROM sync.runs AS later
          WHERE (later.org_id, later.entity, later.scope) = (run.org_id, run.entity, run.scope)
            AND later.turn > run.turn AND later.mode = 'due' AND later.state = 'completed'
            AND later.deletions ->> 'verdict' IN ('none', 'confirmed')))
"""

STATEMENTS = (
    EARLIER.replaced(EARLIER.LIVE_FACTS, (EARLIER.UNDECIDED, UNDECIDED)),
    "DELETE FROM sync.kept_churches",
)


def upgrade() -> None:
    """A view in place of itself; what was kept by the old one is kept again with the next sweep."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
