"""OAuth connections: a token pair for each church, encrypted."""

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    """
    CREATE TABLE sync.connections (
        org_id text NOT NULL,
        organization_id text NOT NULL,
        sub text NOT NULL,
        client_id text NOT NULL,
        base_url text NOT NULL,
        scopes text[] NOT NULL,
        access_token_enc text NOT NULL,
        refresh_token_enc text NOT NULL,
        previous_refresh_enc text,
        sealed_with text NOT NULL,
        access_seconds double precision NOT NULL,
        access_expires_at timestamptz NOT NULL,
        refresh_issued_at timestamptz NOT NULL,
        version bigint NOT NULL DEFAULT 1,
        state text NOT NULL DEFAULT 'active',
        last_error text,
        refreshed_by text NOT NULL,
        connected_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT connections_pkey PRIMARY KEY (org_id),
        CONSTRAINT connections_organization UNIQUE (base_url, organization_id),
        CONSTRAINT connections_state CHECK (state IN ('active', 'needs_authorisation'))
    )
    """,
)


def upgrade() -> None:
    """A new table: nobody waits."""
    for statement in STATEMENTS:
        op.execute(statement)
