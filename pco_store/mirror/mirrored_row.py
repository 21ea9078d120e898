"""The columns that every mirrored table has, beside those of its resource."""

from sqlalchemy import Column, DateTime, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB


def identity_columns() -> list[Column[object]]:
    """What a row is known by: the church, and PCO's id."""
    return [Column("org_id", Text, primary_key=True), Column("id", Text, primary_key=True)]


def bookkeeping_columns() -> list[Column[object]]:
    """What the mirror itself knows about a row.

    extra: everything PCO said that has no column, or that its column cannot hold exactly.
    _synced_at: when the request was sent that showed this version. _epoch: the turn that wrote it.
    _deleted_at, _deleted_reason: the tombstone. _content_hash: of the content as PCO sent it.
    """
    return [
        Column("extra", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        Column("_synced_at", DateTime(timezone=True), nullable=False),
        Column("_epoch", Text, nullable=False),
        Column("_deleted_at", DateTime(timezone=True)),
        Column("_deleted_reason", Text),
        Column("_content_hash", LargeBinary, nullable=False),
    ]
