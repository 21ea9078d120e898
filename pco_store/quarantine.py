"""What could not be stored or fetched, kept raw, so that nothing is lost and nothing blocks a page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """One record (`raw` is its ASCII JSON text), or one place in a list that PCO cannot serve (`raw` is None)."""

    org_id: str
    entity: str
    run_id: int
    reading: int
    offset: int
    record_id: str | None
    reason: str
    raw: str | None


async def put_quarantined(connection: AsyncConnection, items: Sequence[Quarantined]) -> None:
    """Keep the items; in the transaction of the page they come from, so that a repeat cannot double them.

    What an earlier run had put aside of the same record or place is resolved by being seen again.
    """
    if not items:
        return
    await connection.execute(
        text(
            """
            UPDATE sync.quarantine SET resolved_at = now()
            WHERE org_id = :org_id AND entity = :entity AND resolved_at IS NULL AND run_id <> :run_id
              AND ((record_id IS NOT NULL AND record_id = CAST(:record_id AS text))
                   OR (record_id IS NULL AND CAST(:record_id AS text) IS NULL AND "offset" = :offset))
            """
        ),
        [
            {name: value for name, value in asdict(item).items() if name not in {"reading", "reason", "raw"}}
            for item in items
        ],
    )
    await connection.execute(
        text(
            """
            INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", record_id, reason, raw)
            VALUES (:org_id, :entity, :run_id, :reading, :offset, :record_id, :reason, :raw)
            """
        ),
        [asdict(item) for item in items],
    )


async def list_quarantined(connection: AsyncConnection, org_id: str, entity: str | None = None) -> list[Quarantined]:
    """What waits to be looked at, oldest first."""
    result = await connection.execute(
        text(
            """
            SELECT org_id, entity, run_id, reading, "offset", record_id, reason, raw FROM sync.quarantine
            WHERE org_id = :org_id AND resolved_at IS NULL AND (CAST(:entity AS text) IS NULL OR entity = :entity)
            ORDER BY quarantine_id
            """
        ),
        {"org_id": org_id, "entity": entity},
    )
    return [Quarantined(**row._mapping) for row in result]
