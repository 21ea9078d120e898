"""How often a run was started again in vain, which flow runs are alive, and what PCO said of single records."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE sync.runs ADD COLUMN restarts integer NOT NULL DEFAULT 0, ADD COLUMN restarted_at timestamptz",
    """
    CREATE TABLE sync.flow_runs (
        flow_run_id text NOT NULL,
        owner text NOT NULL,
        alive_until timestamptz NOT NULL,
        CONSTRAINT flow_runs_pkey PRIMARY KEY (flow_run_id)
    )
    """,
    """
    CREATE TABLE sync.answers (
        run_id bigint NOT NULL,
        record_id text NOT NULL,
        is_absent boolean NOT NULL,
        asked_at timestamptz NOT NULL,
        CONSTRAINT answers_pkey PRIMARY KEY (run_id, record_id)
    )
    """,
)


def upgrade() -> None:
    """Extend the ledger; nothing that is there is rewritten."""
    for statement in STATEMENTS:
        op.execute(statement)
