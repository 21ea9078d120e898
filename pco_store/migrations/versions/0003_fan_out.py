"""Fan-outs: a child of a fan-out is a run of its own, inserted as pending in the transaction of its parent's page."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATES = (
    "'pending', 'submitted', 'running', 'awaiting', 'completed', 'failed', 'cancelled', 'closed', 'absent', "
    "'forbidden', 'dead'"
)

STATEMENTS = (
    """
    ALTER TABLE sync.runs
        ALTER COLUMN turn DROP NOT NULL,
        ADD COLUMN parent_run_id bigint,
        ADD COLUMN fan_out jsonb,
        ADD COLUMN attempts integer NOT NULL DEFAULT 0,
        ADD COLUMN not_before timestamptz,
        ADD COLUMN submission text,
        ADD COLUMN submissions integer NOT NULL DEFAULT 0,
        ADD COLUMN submitted_at timestamptz,
        DROP CONSTRAINT runs_state_known
    """,
    f"ALTER TABLE sync.runs ADD CONSTRAINT runs_state_known CHECK (state IN ({STATES}))",
    "CREATE INDEX runs_of_fan_out ON sync.runs (parent_run_id, run_id) WHERE parent_run_id IS NOT NULL",
    "CREATE INDEX runs_pending ON sync.runs (parent_run_id, submissions, run_id) WHERE state = 'pending'",
    "CREATE INDEX runs_under_way ON sync.runs (parent_run_id) WHERE state IN ('submitted', 'running')",
    "CREATE INDEX runs_submitted ON sync.runs (submitted_at) WHERE state = 'submitted'",
    """
    CREATE VIEW sync.fan_outs AS
    SELECT root.run_id, root.org_id, root.entity, root.epoch, root.state,
           count(child.run_id) AS children,
           count(*) FILTER (WHERE child.state = 'pending') AS pending,
           count(*) FILTER (WHERE child.state = 'submitted') AS submitted,
           count(*) FILTER (WHERE child.state = 'running') AS running,
           count(*) FILTER (WHERE child.state = 'completed') AS completed,
           count(*) FILTER (WHERE child.state = 'absent') AS absent,
           count(*) FILTER (WHERE child.state = 'forbidden') AS forbidden,
           count(*) FILTER (WHERE child.state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE child.state = 'dead') AS dead
    FROM sync.runs AS root LEFT JOIN sync.runs AS child ON child.parent_run_id = root.run_id
    WHERE root.fan_out IS NOT NULL
    GROUP BY root.run_id
    """,
)


def upgrade() -> None:
    """Add what a fan-out needs to the ledger."""
    for statement in STATEMENTS:
        op.execute(statement)
