"""What the mirror holds, to be compared with PCO; and the proofs that are made of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.tombstones import name_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Live rows between two ids (None: open) and two times of creation; rows without one belong to any."""

    first: str | None = None
    last: str | None = None
    created_since: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorFacts:
    """What the whole mirror of an entity says: live rows that were created until a time, and the newest change."""

    live: int
    newest: datetime | None


async def complete_as_of(connection: AsyncConnection, org_id: str, entity: str) -> datetime | None:
    """Until when the mirror is known to be complete; None if it never was."""
    as_of: datetime | None = await connection.scalar(
        text("SELECT watermark FROM sync.watermarks WHERE org_id = :org_id AND entity = :entity AND scope = ''"),
        {"org_id": org_id, "entity": entity},
    )
    return as_of


async def mirror_facts(connection: AsyncConnection, table: Table, org_id: str, stretch: Stretch) -> MirrorFacts:
    """Count the live rows of a stretch; the newest change is that of all."""
    newest = "max(updated_at)" if "updated_at" in table.columns else "NULL"
    result = await connection.execute(
        text(
            f"""
            SELECT count(*) FILTER (WHERE {_condition(table)}) AS live, {newest} AS newest
            FROM {name_of(table)} WHERE org_id = :org_id AND _deleted_at IS NULL
            """  # noqa: S608 - names from the catalogue
        ),
        _values(org_id, stretch),
    )
    row = result.one()
    return MirrorFacts(live=row.live, newest=row.newest)


async def rows_of(
    connection: AsyncConnection, table: Table, org_id: str, stretch: Stretch
) -> dict[str, datetime | None]:
    """The live rows of a stretch: when each was last changed, by id."""
    changed = "updated_at" if "updated_at" in table.columns else "NULL"
    result = await connection.execute(
        text(
            f"""
            SELECT id, {changed} AS changed FROM {name_of(table)}
            WHERE org_id = :org_id AND _deleted_at IS NULL AND {_condition(table)}
            """  # noqa: S608 - names from the catalogue
        ),
        _values(org_id, stretch),
    )
    return {row.id: row.changed for row in result}


async def rows_by_id(
    connection: AsyncConnection, table: Table, org_id: str, ids: Sequence[str]
) -> dict[str, datetime | None]:
    """The live rows among these."""
    changed = "updated_at" if "updated_at" in table.columns else "NULL"
    result = await connection.execute(
        text(
            f"SELECT id, {changed} AS changed FROM {name_of(table)} "  # noqa: S608 - names from the catalogue
            "WHERE org_id = :org_id AND _deleted_at IS NULL AND id = ANY(CAST(:ids AS text[]))"
        ),
        {"org_id": org_id, "ids": list(ids)},
    )
    return {row.id: row.changed for row in result}


async def creation_times(
    connection: AsyncConnection, table: Table, org_id: str, *, shares: Sequence[float]
) -> list[datetime]:
    """The times of creation below which these shares of the live rows lie."""
    result = await connection.execute(
        text(
            f"SELECT percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY created_at) "  # noqa: S608
            f"FROM {name_of(table)} WHERE org_id = :org_id AND _deleted_at IS NULL"
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
    """Keep a proof; its number."""
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


async def mirrored_entities(connection: AsyncConnection, org_id: str) -> list[str]:
    """The entities of which a church has a complete mirror, by name."""
    result = await connection.execute(
        text("SELECT entity FROM sync.watermarks WHERE org_id = :org_id AND scope = '' ORDER BY entity"),
        {"org_id": org_id},
    )
    return list(result.scalars())


def _condition(table: Table) -> str:
    """PCO's ids are numbers of no fixed length: shorter ones come first."""
    parts = [
        "(CAST(:first AS text) IS NULL OR (length(id), id) >= (length(:first), CAST(:first AS text)))",
        "(CAST(:last AS text) IS NULL OR (length(id), id) <= (length(:last), CAST(:last AS text)))",
    ]
    if "created_at" in table.columns:
        parts += [
            "(CAST(:created_since AS timestamptz) IS NULL OR created_at >= :created_since)",
            "(CAST(:created_until AS timestamptz) IS NULL OR created_at <= :created_until)",
        ]
    return " AND ".join(parts)


def _values(org_id: str, stretch: Stretch) -> dict[str, object]:
    return {
        "org_id": org_id,
        "first": stretch.first,
        "last": stretch.last,
        "created_since": stretch.created_since,
        "created_until": stretch.created_until,
    }
