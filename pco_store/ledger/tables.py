"""The ledger's tables, schema `sync`: what Postgres remembers about runs and pages."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

LEDGER_SCHEMA = "sync"
_NOW = {"server_default": text("now()")}
_ZERO = {"server_default": text("0")}
_EMPTY = {"server_default": text("''")}


STATES = (
    "'pending', 'submitted', 'running', 'awaiting', 'completed', 'failed', 'cancelled', 'closed', 'absent', "
    "'forbidden', 'dead'"
)
"""Of a run. pending, submitted, absent, forbidden, dead: children of a fan-out only; awaiting: the fan-out itself."""


class RunRow(SQLModel, table=True):
    """One epoch of one sync, or of one child of a fan-out: then it is its work item, too.

    `members` are the runs of the kinds that its pages bring beside its own; theirs is `read_with`, and they have no
    life of their own (`pco_store.ledger.members`). At most one execution at a time may write to it: the one that holds
    `fence`.
    """

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint(f"state IN ({STATES})", name="runs_state_known"),
        Index("runs_key_once", "key", unique=True),
        Index("runs_turn_once", "org_id", "entity", "scope", "turn", unique=True),
        Index(
            "runs_but_deltas",
            "org_id",
            "entity",
            "scope",
            "turn",
            postgresql_where=text("mode <> 'delta' AND turn IS NOT NULL"),
        ),
        Index("runs_unfinished", "lease_until", postgresql_where=text("state = 'running'")),
        Index("runs_of_fan_out", "parent_run_id", "run_id", postgresql_where=text("parent_run_id IS NOT NULL")),
        Index("runs_pending", "parent_run_id", "submissions", "run_id", postgresql_where=text("state = 'pending'")),
        Index("runs_under_way", "parent_run_id", postgresql_where=text("state IN ('submitted', 'running')")),
        Index("runs_submitted", "submitted_at", postgresql_where=text("state = 'submitted'")),
        {"schema": LEDGER_SCHEMA},
    )

    run_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    token: UUID = Field(sa_type=Uuid, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    org_id: str = Field(sa_type=Text)
    entity: str = Field(sa_type=Text)
    scope: str = Field(sa_type=Text, sa_column_kwargs=_EMPTY)
    epoch: str = Field(sa_type=Text)
    key: str = Field(sa_type=Text)
    turn: int | None = Field(default=None, sa_type=Integer)
    state: str = Field(sa_type=Text)
    mode: str = Field(sa_type=Text)
    fence: int = Field(sa_type=BigInteger)
    owner: str = Field(sa_type=Text)
    lease_until: datetime = Field(sa_type=DateTime(timezone=True))
    session_locked: bool = Field(sa_type=Boolean, sa_column_kwargs={"server_default": text("false")})
    flow_run_id: str | None = Field(default=None, sa_type=Text)
    window_attribute: str | None = Field(default=None, sa_type=Text)
    window_since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    window_until: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    page_size: int = Field(sa_type=Integer)
    error: str | None = Field(default=None, sa_type=Text)
    started_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)
    completed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    parent_run_id: int | None = Field(default=None, sa_type=BigInteger)
    fan_out: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    attempts: int = Field(sa_type=Integer, sa_column_kwargs=_ZERO)
    not_before: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    submission: str | None = Field(default=None, sa_type=Text)
    submissions: int = Field(sa_type=Integer, sa_column_kwargs=_ZERO)
    submitted_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    parts: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    plan: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    deletions: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    restarts: int = Field(sa_type=Integer, sa_column_kwargs=_ZERO)
    restarted_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    read_with: int | None = Field(default=None, sa_type=BigInteger)
    members: list[int] | None = Field(default=None, sa_type=ARRAY(BigInteger))


class PageRow(SQLModel, table=True):
    """One committed reading of one page; `ids` are the records it showed. `reached`, `seen_before`: newest first."""

    __tablename__ = "pages"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    run_id: int = Field(primary_key=True, sa_type=BigInteger)
    part: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs=_ZERO)
    reading: int = Field(primary_key=True, sa_type=Integer)
    offset: int = Field(primary_key=True, sa_type=BigInteger)
    page_size: int = Field(primary_key=True, sa_type=Integer)
    rows: int = Field(sa_type=Integer)
    new: int = Field(sa_type=Integer)
    changed: int = Field(sa_type=Integer)
    unchanged: int = Field(sa_type=Integer)
    stale: int = Field(sa_type=Integer)
    misfits: int = Field(sa_type=Integer)
    quarantined: int = Field(sa_type=Integer)
    next_offset: int | None = Field(default=None, sa_type=BigInteger)
    total_count: int | None = Field(default=None, sa_type=BigInteger)
    requests: int = Field(sa_type=Integer)
    waited_seconds: float = Field(sa_type=Double)
    ids: list[str] = Field(sa_type=ARRAY(Text))
    digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    fence: int = Field(sa_type=BigInteger)
    reached: bool = Field(sa_type=Boolean, sa_column_kwargs={"server_default": text("false")})
    seen_before: int = Field(sa_type=Integer, sa_column_kwargs=_ZERO)
    committed_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)


class FlowRunRow(SQLModel, table=True):
    """A flow run of this mirror that goes on; its process says so again and again (`tasks.recovery.signs_of_life`)."""

    __tablename__ = "flow_runs"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    flow_run_id: str = Field(primary_key=True, sa_type=Text)
    owner: str = Field(sa_type=Text)
    alive_until: datetime = Field(sa_type=DateTime(timezone=True))


class AnswerRow(SQLModel, table=True):
    """What PCO said when a run asked for a record that its walk had missed; gone when the run is done."""

    __tablename__ = "answers"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    run_id: int = Field(primary_key=True, sa_type=BigInteger)
    record_id: str = Field(primary_key=True, sa_type=Text)
    is_absent: bool = Field(sa_type=Boolean)
    asked_at: datetime = Field(sa_type=DateTime(timezone=True))


class QuarantineRow(SQLModel, table=True):
    """What could not be stored or fetched. `raw` is ASCII JSON text, so that anything fits; null if never seen.

    `owner` is the record with which it came, if it came with one: the ids in the path of what is listed below that.
    """

    __tablename__ = "quarantine"
    __table_args__ = (
        Index("quarantine_open", "org_id", "entity", postgresql_where=text("resolved_at IS NULL")),
        {"schema": LEDGER_SCHEMA},
    )

    quarantine_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    org_id: str = Field(sa_type=Text)
    entity: str = Field(sa_type=Text)
    run_id: int = Field(sa_type=BigInteger)
    reading: int = Field(sa_type=Integer)
    offset: int = Field(sa_type=BigInteger)
    record_id: str | None = Field(default=None, sa_type=Text)
    reason: str = Field(sa_type=Text)
    raw: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)
    resolved_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    part: int = Field(default=0, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    owner: str | None = Field(default=None, sa_type=Text)


class ListTraitsRow(SQLModel, table=True):
    """What a church's list was found to be: `page_size`, if no larger page was answered then, and what PCO was seen not
    to keep to, each with the reason and the time (`distrusted`): includes by their names, and, if `by` says doctor,
    also filters, orders and counts as `Traits` has them."""

    __tablename__ = "list_traits"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    entity: str = Field(primary_key=True, sa_type=Text)
    page_size: int | None = Field(default=None, sa_type=Integer)
    page_size_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    distrusted: dict[str, Any] = Field(sa_type=JSONB, sa_column_kwargs={"server_default": text("'{}'")})


class WatermarkRow(SQLModel, table=True):
    """Known complete up to here; moves only when a run completes."""

    __tablename__ = "watermarks"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    entity: str = Field(primary_key=True, sa_type=Text)
    scope: str = Field(primary_key=True, sa_type=Text)
    watermark: datetime = Field(sa_type=DateTime(timezone=True))
    run_id: int = Field(sa_type=BigInteger)


class UnshownRow(SQLModel, table=True):
    """A fan-out, or a church, whose end has changed since its flow run ended: Prefect is still to show that."""

    __tablename__ = "unshown"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    run_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    changes: int = Field(sa_type=Integer, sa_column_kwargs={"server_default": text("1")})
    noted_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)


class ProofRow(SQLModel, table=True):
    """What a comparison of the mirror with PCO has shown, in a word (docs/verdicts.md); `facts` hold no values."""

    __tablename__ = "proofs"
    __table_args__ = (Index("proofs_latest", "org_id", "entity", "proved_at"), {"schema": LEDGER_SCHEMA})

    proof_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    org_id: str = Field(sa_type=Text)
    entity: str = Field(sa_type=Text)
    method: str = Field(sa_type=Text)
    verdict: str = Field(sa_type=Text)
    facts: dict[str, Any] = Field(sa_type=JSONB)
    requests: int = Field(sa_type=Integer)
    seconds: float = Field(sa_type=Double)
    proved_at: datetime = Field(sa_type=DateTime(timezone=True), sa_column_kwargs=_NOW)


class LinkRow(SQLModel, table=True):
    """A record in the list of one of the many parents that share it; written only when there is something new.

    `parent` is the kind of the last id in `scope` as the path names it, `list` the last word of the path. `seen_at`:
    the request that showed it first; `unlisted_at`: when a complete reading of that list was over that did not show it.
    """

    __tablename__ = "links"
    __table_args__ = (Index("links_by_id", "id", "entity", "org_id"), {"schema": LEDGER_SCHEMA})

    org_id: str = Field(primary_key=True, sa_type=Text)
    entity: str = Field(primary_key=True, sa_type=Text)
    parent: str = Field(primary_key=True, sa_type=Text)
    list: str = Field(primary_key=True, sa_type=Text)
    scope: str = Field(primary_key=True, sa_type=Text)
    id: str = Field(primary_key=True, sa_type=Text)
    parent_id: str = Field(
        sa_column=Column(Text, Computed("regexp_replace(scope, '^.*/', '')", persisted=True), nullable=False)
    )
    seen_at: datetime = Field(sa_type=DateTime(timezone=True))
    unlisted_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class ListRow(SQLModel, table=True):
    """A list below a parent: when it was read last, how many `requests` that took, and when it is due.

    `pace_seconds`: how long it may wait then. `parent_seen`: a hash of what is watched of its parent; `changed_at`:
    when that was last seen to change. `is_refused`: PCO did not show it to this credential when it was last requested.
    """

    __tablename__ = "lists"
    __table_args__ = (Index("lists_due", "org_id", "due_at"), {"schema": LEDGER_SCHEMA})

    org_id: str = Field(primary_key=True, sa_type=Text)
    entity: str = Field(sa_type=Text)
    path: str = Field(primary_key=True, sa_type=Text)
    scope: str = Field(primary_key=True, sa_type=Text)
    last_read_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    requests: int = Field(sa_type=Integer, sa_column_kwargs={"server_default": text("1")})
    due_at: datetime = Field(sa_type=DateTime(timezone=True))
    pace_seconds: int = Field(sa_type=Integer)
    parent_seen: int | None = Field(default=None, sa_type=BigInteger)
    changed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    is_refused: bool = Field(sa_type=Boolean, sa_column_kwargs={"server_default": text("false")})


class FreshnessRuleRow(SQLModel, table=True):
    """When a kind is overdue, where somebody wishes it otherwise than the catalogue has it (docs/freshness.md).

    `org_id` may be `*` for all churches; `kinds` an entity, a way (`sync.kinds`), or `*`.
    """

    __tablename__ = "freshness_rules"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    kinds: str = Field(primary_key=True, sa_type=Text)
    changes_within: timedelta | None = Field(default=None, sa_type=Interval)
    complete_within: timedelta | None = Field(default=None, sa_type=Interval)
    late_by: timedelta | None = Field(default=None, sa_type=Interval)


class AnnouncedRow(SQLModel, table=True):
    """What Prefect was last told of how current a church is, `since` when it is so, and when it was told.

    The row of the church `*` is when somebody last looked.
    """

    __tablename__ = "announced"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    org_id: str = Field(primary_key=True, sa_type=Text)
    freshness: str = Field(sa_type=Text)
    since: datetime = Field(sa_type=DateTime(timezone=True))
    announced_at: datetime = Field(sa_type=DateTime(timezone=True))


class BackfillRow(SQLModel, table=True):
    """How far something is filled from the ledger: every run from `next_run_id` on is done; newest first."""

    __tablename__ = "backfills"
    __table_args__ = {"schema": LEDGER_SCHEMA}

    name: str = Field(primary_key=True, sa_type=Text)
    next_run_id: int = Field(sa_type=BigInteger)
    completed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
