"""What could not be stored or fetched, kept raw, so that nothing is lost and nothing blocks a page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """One record (`raw` is its ASCII JSON text), or one place in a list that PCO cannot serve (`raw` is None).

    `observed_at`: when the request was sent that showed it; left out, the time of the transaction. `part`: of its run.
    `owner`: the id of the record with which it came.
    """

    org_id: str
    entity: str
    run_id: int
    reading: int
    offset: int
    record_id: str | None
    reason: str
    raw: str | None
    observed_at: datetime | None = None
    part: int = 0
    owner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenItem:
    """One that nothing has resolved yet, as it is listed.

    `epoch` and `scope` are those of the run that put it aside, or the record with which it came; `final_entity` and
    `below` those of its fan-out, if it had one.
    """

    quarantine_id: int
    org_id: str
    entity: str
    epoch: str
    scope: str
    offset: int
    record_id: str | None
    reason: str
    raw: str | None
    observed_at: datetime
    final_entity: str | None = None
    below: tuple[str, ...] | None = None


async def put_quarantined(connection: AsyncConnection, items: Sequence[Quarantined]) -> None:
    """Keep the items; in the transaction of the page they come from, so that a repeat cannot double them.

    What was quarantined of the same record before is resolved by being seen again. A place says nothing of that
    kind: the same offset is another record in another list, or on another day.
    """
    if not items:
        return
    await connection.execute(
        text(
            """
            UPDATE sync.quarantine SET resolved_at = now()
            WHERE org_id = :org_id AND entity = :entity AND resolved_at IS NULL
              AND record_id = CAST(:record_id AS text)
            """
        ),
        [{"org_id": item.org_id, "entity": item.entity, "record_id": item.record_id} for item in items],
    )
    await connection.execute(
        text(
            """
            INSERT INTO sync.quarantine
                (org_id, entity, run_id, reading, "offset", record_id, reason, raw, part, owner, created_at)
            VALUES (:org_id, :entity, :run_id, :reading, :offset, :record_id, :reason, :raw, :part, :owner,
                coalesce(CAST(:observed_at AS timestamptz), now()))
            """
        ),
        [asdict(item) for item in items],
    )


async def resolve_read_again(
    connection: AsyncConnection, run_id: int, *, part: int, reading: int, offset: int, size: int
) -> None:
    """A page of a run was read again: what an earlier reading had quarantined was read now, or is quarantined again.

    In the transaction that commits the later reading, before what that quarantines.
    """
    await connection.execute(
        text(
            """
            UPDATE sync.quarantine SET resolved_at = now()
            WHERE run_id = :run_id AND part = :part AND reading < :reading AND "offset" >= :first AND "offset" < :behind
              AND resolved_at IS NULL
            """
        ),
        {"run_id": run_id, "part": part, "reading": reading, "first": offset, "behind": offset + size},
    )


async def resolve_all_of_run(connection: AsyncConnection, run_id: int) -> None:
    """The run reads its whole list again, by another walk: what is still wrong is quarantined again."""
    await connection.execute(
        text("UPDATE sync.quarantine SET resolved_at = now() WHERE run_id = :run_id AND resolved_at IS NULL"),
        {"run_id": run_id},
    )


async def list_quarantined(
    connection: AsyncConnection, org_id: str, entity: str | None = None, *, after: int = 0, limit: int = 1000
) -> list[OpenItem]:
    """What is open of a church, oldest first: the next `limit` items after the one with the id `after`."""
    result = await connection.execute(
        text(
            """
            SELECT item.quarantine_id, item.org_id, item.entity, coalesce(run.epoch, '') AS epoch,
                   coalesce(item.owner, CASE WHEN run.read_with IS NULL THEN run.scope END, '') AS scope, item."offset",
                   item.record_id, item.reason, item.raw, item.created_at AS observed_at,
                   root.entity AS final_entity, root.fan_out -> 'below' AS below
            FROM sync.quarantine AS item LEFT JOIN sync.runs AS run USING (run_id)
                LEFT JOIN sync.runs AS root ON root.run_id = run.parent_run_id AND run.read_with IS NULL
            WHERE item.org_id = :org_id AND item.resolved_at IS NULL AND item.quarantine_id > :after
              AND (CAST(:entity AS text) IS NULL OR item.entity = :entity)
            ORDER BY item.quarantine_id LIMIT :limit
            """
        ),
        {"org_id": org_id, "entity": entity, "after": after, "limit": limit},
    )
    return [OpenItem(**{**row._mapping, "below": row.below and tuple(row.below)}) for row in result]


async def resolve_items(connection: AsyncConnection, quarantine_ids: Sequence[int]) -> None:
    """These are resolved; in the transaction that stores their records. Safe to repeat."""
    await connection.execute(
        text(
            "UPDATE sync.quarantine SET resolved_at = now() "
            "WHERE quarantine_id = ANY(CAST(:ids AS bigint[])) AND resolved_at IS NULL"
        ),
        {"ids": list(quarantine_ids)},
    )
