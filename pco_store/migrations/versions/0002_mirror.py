"""The mirrored tables, as the catalogue had them on 2026-11-24; frozen in `0002_mirror.columns.json`."""

import json
from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = Path(__file__).with_name("0002_mirror.columns.json")


def upgrade() -> None:
    """Create a schema per product and a table per resource."""
    for schema, tables in json.loads(COLUMNS.read_text(encoding="utf-8")).items():
        op.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        statements = [
            f'CREATE TABLE "{schema}"."{table}" ({", ".join(columns)}, CONSTRAINT "{table}_pkey" '
            "PRIMARY KEY (org_id, id))"
            for table, columns in tables.items()
        ]
        for statement in statements:
            op.execute(statement.replace(":", "\\:"))
