"""The tables of what is kept for `sync.freshness`, in the schema `sync`; triggers note changes (migration 0024)."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Text
from sqlmodel import Field, SQLModel

from pco_store.ledger.tables import LEDGER_SCHEMA


class TableFactsRow(SQLModel, table=True):
    """What the ledger shows of a kind of records in a church, whatever the time: its newest turn (`run_*`), its newest
    full reading, the newest complete one, its lists, and when lists were last looked for (`night_at`)."""

    __tablename__ = "table_facts"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    entity: str = Field(primary_key=True, sa_type=Text)
    run_state: str | None = Field(default=None, sa_type=Text)
    run_error: str | None = Field(default=None, sa_type=Text)
    run_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    full_run_id: int | None = Field(default=None, sa_type=BigInteger)
    full_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    complete_run_id: int | None = Field(default=None, sa_type=BigInteger)
    complete_as_of: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    list_path: str | None = Field(default=None, sa_type=Text)
    lists: int | None = Field(default=None, sa_type=BigInteger)
    lists_never_read: int | None = Field(default=None, sa_type=BigInteger)
    lists_refused: int | None = Field(default=None, sa_type=BigInteger)
    oldest_list_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    first_due_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    undecided_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    fan_out_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    night_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    watermark: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    quarantined: int = Field(sa_type=BigInteger)


class KeptChurchRow(SQLModel, table=True):
    """A church whose facts are kept as of then."""

    __tablename__ = "kept_churches"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    kept_at: datetime = Field(sa_type=DateTime(timezone=True))


class ChurchChangeRow(SQLModel, table=True):
    """A change of a church since its facts were kept: what is kept is not used until somebody has looked again."""

    __tablename__ = "church_changes"
    __table_args__ = (Index("church_changes_of", "org_id"), {"schema": LEDGER_SCHEMA})

    change_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    org_id: str = Field(sa_type=Text)
