"""The tables of churches and their readers, in the schema `sync`."""

from datetime import datetime

from sqlalchemy import DateTime, Text, text
from sqlmodel import Field, SQLModel

from pco_store.ledger.tables import LEDGER_SCHEMA

_NOW = {"server_default": text("now()")}


class ChurchRow(SQLModel, table=True):
    """What is known of a church beside its data; most have no row.

    From `removal_began_at` on nothing of it may be written; `removed_at` says that nothing of it was left. The row goes
    when the church is connected again.
    """

    __tablename__ = "churches"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    display_name: str | None = Field(default=None, sa_type=Text)
    removal_began_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    removed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class ReaderRow(SQLModel, table=True):
    """A role of Postgres, and the one church that it may read."""

    __tablename__ = "readers"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    role_name: str = Field(primary_key=True, sa_type=Text)
    org_id: str = Field(sa_type=Text)
    made_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)
