"""What the mirror holds, to be compared with Planning Center; and the proofs that come of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Entity
from pco_store.churches.wall import refuse_removed
from pco_store.ledger.proving.comparable import readings_below
from pco_store.mirror.owners import placed_rows
from pco_store.mirror.tables import quoted_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Live rows between two ids (None: open), created at or after one time and before another."""

    first: str | None = None
    last: str | None = None
    created_since: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MirroredRow:
    """What a live row is compared by. `written_at`: when the request was sent that showed this content."""

    updated_at: datetime | None
    content_hash: bytes
    written_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorCounts:
    """How many live rows there are.

    `older`: without a time of creation, or created before the cut. `middle` divides those that have one in two halves
    of `first_half` and `second_half` rows; None where no row has one.
    """

    live: int
    older: int
    middle: datetime | None
    first_half: int
    second_half: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenQuarantine:
    """How many open items of an entity there are, and the ids of those whose id is known."""

    count: int
    record_ids: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorState:
    """What is known of the mirror of an entity before it is compared; `now` is the database's time.

    `below` are the parents below which it was read last, outermost first; none if it came with its owners, or has a
    list of its own.
    """

    as_of: datetime | None
    quarantine: OpenQuarantine
    now: datetime
    below: tuple[str, ...] = ()


async def mirror_state(connection: AsyncConnection, org_id: str, entity: Entity) -> MirrorState:
    """Until when the mirror is known to be complete (None if it never was), and what is in quarantine."""
    result = await connection.execute(
        text(
            """
            SELECT (SELECT watermark FROM sync.watermarks
                    WHERE org_id = :org_id AND entity = :entity AND scope = '') AS as_of,
                   count(*) AS open, array_agg(DISTINCT record_id) FILTER (WHERE record_id IS NOT NULL) AS ids,
                   now() AS now
            FROM sync.quarantine WHERE org_id = :org_id AND entity = :entity AND resolved_at IS NULL
            """
        ),
        {"org_id": org_id, "entity": entity.name},
    )
    row = result.one()
    quarantine = OpenQuarantine(count=row.open, record_ids=frozenset(row.ids or ()))
    if entity.list_path is not None:
        return MirrorState(as_of=row.as_of, quarantine=quarantine, now=row.now)
    reading = (await readings_below(connection, org_id)).get(entity.name)
    if reading is None:
        return MirrorState(as_of=None, quarantine=quarantine, now=row.now)
    return MirrorState(as_of=reading.as_of, quarantine=quarantine, now=row.now, below=reading.below)


async def count_mirror(connection: AsyncConnection, table: Table, org_id: str, *, cut: datetime) -> MirrorCounts:
    """Count the live rows, in all and in two halves by their time of creation."""
    live = f"FROM {quoted_name(table)} WHERE org_id = :org_id AND _deleted_at IS NULL"
    if "created_at" not in table.columns:
        count = await connection.scalar(text(f"SELECT count(*) {live}"), {"org_id": org_id})
        return MirrorCounts(live=count or 0, older=count or 0, middle=None, first_half=0, second_half=0)
    result = await connection.execute(
        text(
            f"""
            WITH halved AS (
                SELECT date_trunc('second', percentile_disc(0.5) WITHIN GROUP (ORDER BY created_at)) AS middle
                {live} AND created_at < :cut)
            SELECT count(*) AS live, count(*) FILTER (WHERE created_at IS NULL OR created_at < :cut) AS older,
                   (SELECT middle FROM halved) AS middle,
                   count(*) FILTER (WHERE created_at < (SELECT middle FROM halved)) AS first_half,
                   count(*) FILTER (WHERE created_at >= (SELECT middle FROM halved) AND created_at < :cut)
                       AS second_half
            {live}
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id, "cut": cut},
    )
    return MirrorCounts(**result.one()._mapping)


async def rows_of(connection: AsyncConnection, table: Table, org_id: str, stretch: Stretch) -> dict[str, MirroredRow]:
    """The live rows of a stretch, by id."""
    result = await connection.execute(
        text(f"{_selected(table)} AND {_condition(table)}"),
        {
            "org_id": org_id,
            "first": stretch.first,
            "last": stretch.last,
            "created_since": stretch.created_since,
            "created_before": stretch.created_before,
        },
    )
    return {row.id: _row(row) for row in result}


async def rows_of_owners(
    connection: AsyncConnection, org_id: str, entity: Entity, path: str, owners: Sequence[str]
) -> dict[str, dict[str, MirroredRow]]:
    """The live rows in the lists at `path` below these owners, by owner and id; without owners that have none."""
    result = await connection.execute(
        text(
            f"SELECT * FROM ({placed_rows(entity, path)}) AS placed "  # noqa: S608 - names from the catalogue
            "WHERE scope = ANY(CAST(:owners AS text[]))"
        ),
        {"org_id": org_id, "owners": list(owners)},
    )
    found: dict[str, dict[str, MirroredRow]] = {}
    for row in result:
        found.setdefault(row.scope, {})[row.id] = _row(row)
    return found


async def rows_by_id(
    connection: AsyncConnection, table: Table, org_id: str, ids: Iterable[str]
) -> dict[str, MirroredRow]:
    """The live rows among these, by id."""
    result = await connection.execute(
        text(f"{_selected(table)} AND id = ANY(CAST(:ids AS text[]))"), {"org_id": org_id, "ids": list(ids)}
    )
    return {row.id: _row(row) for row in result}


async def values_by_id(
    connection: AsyncConnection, table: Table, org_id: str, ids: Iterable[str]
) -> dict[str, Mapping[str, Any]]:
    """The same with all their columns."""
    result = await connection.execute(
        select(table).where(table.c.org_id == org_id, table.c._deleted_at.is_(None), table.c.id.in_(list(ids)))
    )
    return {row.id: dict(row._mapping) for row in result}


async def live_rows(connection: AsyncConnection, table: Table, org_id: str) -> dict[str, datetime]:
    """The ids of all live rows, and when the request was sent that showed what each holds."""
    result = await connection.execute(
        text(
            f"SELECT id, _synced_at FROM {quoted_name(table)} "  # noqa: S608 - names from the catalogue
            "WHERE org_id = :org_id AND _deleted_at IS NULL"
        ),
        {"org_id": org_id},
    )
    return {row.id: row._synced_at for row in result}


async def creation_times(
    connection: AsyncConnection, table: Table, org_id: str, *, shares: Sequence[float]
) -> list[datetime]:
    """The times of creation below which these shares of the live rows lie."""
    result = await connection.execute(
        text(
            f"SELECT percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY created_at) "  # noqa: S608
            f"FROM {quoted_name(table)} WHERE org_id = :org_id AND _deleted_at IS NULL"
        ),
        {"org_id": org_id, "shares": list(shares)},
    )
    return [at for at in result.scalar_one() or [] if at is not None]


async def put_proof(
    connection: AsyncConnection,
    *,
    org_id: str,
    entity: str,
    method: str,
    verdict: str,
    facts: Mapping[str, Any],
    requests: int,
    seconds: float,
) -> int:
    """Keep a proof; its number. Raises `ChurchRemoved`."""
    await refuse_removed(connection, org_id)
    number: int = (
        await connection.execute(
            text(
                "INSERT INTO sync.proofs (org_id, entity, method, verdict, facts, requests, seconds) VALUES (:org_id, "
                ":entity, :method, :verdict, CAST(:facts AS jsonb), :requests, :seconds) RETURNING proof_id"
            ),
            {
                "org_id": org_id,
                "entity": entity,
                "method": method,
                "verdict": verdict,
                "facts": json.dumps(dict(facts)),
                "requests": requests,
                "seconds": seconds,
            },
        )
    ).scalar_one()
    return number


async def proof_of_flow_run(connection: AsyncConnection, org_id: str, flow_run_id: str) -> Row[Any] | None:
    """The proof that a flow run has kept."""
    result = await connection.execute(
        text(
            "SELECT * FROM sync.proofs WHERE org_id = :org_id AND facts ->> 'flow_run_id' = :flow_run_id "
            "ORDER BY proof_id DESC LIMIT 1"
        ),
        {"org_id": org_id, "flow_run_id": flow_run_id},
    )
    return result.one_or_none()


def _selected(table: Table) -> str:
    changed = "updated_at" if "updated_at" in table.columns else "NULL"
    return (
        f"SELECT id, {changed} AS updated_at, _content_hash, _synced_at FROM {quoted_name(table)} "  # noqa: S608
        "WHERE org_id = :org_id AND _deleted_at IS NULL"
    )


def _row(row: Row[Any]) -> MirroredRow:
    return MirroredRow(updated_at=row.updated_at, content_hash=row._content_hash, written_at=row._synced_at)


def _condition(table: Table) -> str:
    """PCO's ids are numbers of no fixed length: shorter ones come first."""
    parts = [
        "(CAST(:first AS text) IS NULL OR (length(id), id) >= (length(:first), CAST(:first AS text)))",
        "(CAST(:last AS text) IS NULL OR (length(id), id) <= (length(:last), CAST(:last AS text)))",
    ]
    if "created_at" in table.columns:
        parts += [
            "(CAST(:created_since AS timestamptz) IS NULL OR created_at >= :created_since)",
            "(CAST(:created_before AS timestamptz) IS NULL OR created_at < :created_before)",
        ]
    return " AND ".join(parts)
