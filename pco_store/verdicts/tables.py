"""The table of verdicts, in the schema `sync`."""

from datetime import datetime

from sqlalchemy import DateTime, Text, text
from sqlmodel import Field, SQLModel

from pco_store.ledger.tables import LEDGER_SCHEMA


class AssumptionRow(SQLModel, table=True):
    """Whether an assumption about a `subject` held when the doctor last looked: an entity, a product, or `*`.

    The `verdict` is holds, fails or unseen; `seen` is the evidence: counts, shapes and names of attributes, no values.
    """

    __tablename__ = "assumptions"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    subject: str = Field(primary_key=True, sa_type=Text)
    assumption: str = Field(primary_key=True, sa_type=Text)
    verdict: str = Field(sa_type=Text)
    seen: str = Field(sa_type=Text)
    examined_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": text("now()")})
