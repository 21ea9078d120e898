"""The table of OAuth connections, in the schema `sync`."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, DateTime, Double, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from pco_store.ledger.tables import LEDGER_SCHEMA

_NOW = {"server_default": text("now()")}


class ConnectionRow(SQLModel, table=True):
    """How a church is read by OAuth. `version` counts its pairs; the pair before is kept for a while after a renewal.

    `organization_id` and `sub` are PCO's church and user, `client_id` the application that they consented to. Tokens
    are encrypted with the key that `sealed_with` names.
    """

    __tablename__ = "connections"
    __table_args__ = (
        UniqueConstraint("base_url", "organization_id", name="connections_organization"),
        CheckConstraint("state IN ('active', 'needs_authorisation')", name="connections_state"),
        {"schema": LEDGER_SCHEMA},
    )

    org_id: str = Field(primary_key=True, sa_type=Text)
    organization_id: str = Field(sa_type=Text)
    sub: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    base_url: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_type=ARRAY(Text))
    access_token_enc: str = Field(sa_type=Text)
    refresh_token_enc: str = Field(sa_type=Text)
    previous_refresh_enc: str | None = Field(default=None, sa_type=Text)
    sealed_with: str = Field(sa_type=Text)
    access_seconds: float = Field(sa_type=Double)
    access_expires_at: datetime = Field(sa_type=DateTime(timezone=True))
    refresh_issued_at: datetime = Field(sa_type=DateTime(timezone=True))
    version: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("1")})
    state: str = Field(sa_type=Text, sa_column_kwargs={"server_default": text("'active'")})
    last_error: str | None = Field(default=None, sa_type=Text)
    refreshed_by: str = Field(sa_type=Text)
    connected_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)
