"""Kinds that are read with their owners: their tables, which runs belong together, and what a list was found to be.

A run whose pages bring records of other kinds, too, has a run of each of these beside it: `members` are their numbers,
and `read_with` is its own. The columns are those of the catalogue on 2026-11-28. Nothing is rewritten.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

KEPT = (
    "extra jsonb DEFAULT '{}' NOT NULL",
    "_synced_at timestamp with time zone NOT NULL",
    "_epoch text NOT NULL",
    "_deleted_at timestamp with time zone",
    "_deleted_reason text",
    "_content_hash bytea NOT NULL",
)
TABLES = {
    "giving.note": ("body text", "donation_id text"),
    "giving.refund": (
        "amount_cents bigint",
        "amount_currency text",
        "created_at timestamp with time zone",
        "fee_cents bigint",
        "fee_currency text",
        "refunded_at timestamp with time zone",
        "updated_at timestamp with time zone",
        "donation_id text",
    ),
    "groups.enrollment": (
        "auto_closed boolean",
        "auto_closed_reason text",
        "date_limit text",
        "date_limit_reached boolean",
        "member_limit bigint",
        "member_limit_reached boolean",
        "status text",
        "strategy text",
        "group_id text",
    ),
    "groups.location": (
        "display_preference text",
        "full_formatted_address text",
        "latitude double precision",
        "longitude double precision",
        "name text",
        "radius text",
        "strategy text",
    ),
    "registrations.emergency_contact": ("name text", "phone_number text", "attendee_id text"),
    "registrations.signup_location": (
        "address_data jsonb",
        "created_at timestamp with time zone",
        "formatted_address text",
        "full_formatted_address text",
        "latitude text",
        "location_type text",
        "longitude text",
        "name text",
        "subpremise text",
        "updated_at timestamp with time zone",
        "url text",
        "signup_id text",
    ),
}


def upgrade() -> None:
    """New tables and columns without defaults: nothing waits."""
    for table, columns in TABLES.items():
        name = table.partition(".")[2]
        declared = ", ".join(("org_id text NOT NULL", "id text NOT NULL", *columns, *KEPT))
        op.execute(f"CREATE TABLE {table} ({declared}, CONSTRAINT {name}_pkey PRIMARY KEY (org_id, id))")
    op.execute("ALTER TABLE sync.runs ADD COLUMN read_with bigint, ADD COLUMN members bigint[]")
    op.execute("ALTER TABLE sync.quarantine ADD COLUMN owner text")
    op.execute(
        """
        CREATE TABLE sync.list_traits (
            org_id text NOT NULL,
            entity text NOT NULL,
            page_size integer,
            distrusted jsonb DEFAULT '{}' NOT NULL,
            CONSTRAINT list_traits_pkey PRIMARY KEY (org_id, entity)
        )
        """
    )
