"""Up to where an entity is known complete; moves forward only, and only with a completed run."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.runs import RunHandle


@dataclass(frozen=True, kw_only=True, slots=True)
class WatermarkReading:
    """The watermark, if there is one, and what time it is for the database."""

    watermark: datetime | None
    now: datetime


async def read_watermark(connection: AsyncConnection, *, org_id: str, entity: str, scope: str = "") -> WatermarkReading:
    """Where the next delta may begin, and the time at which a window opened now should end."""
    result = await connection.execute(
        text(
            """
            SELECT now() AS now, (SELECT watermark FROM sync.watermarks
                WHERE org_id = :org_id AND entity = :entity AND scope = :scope) AS watermark
            """
        ),
        {"org_id": org_id, "entity": entity, "scope": scope},
    )
    row = result.one()
    return WatermarkReading(watermark=row.watermark, now=row.now)


async def read_watermarks(connection: AsyncConnection, org_id: str) -> dict[str, datetime]:
    """The entities of which a delta may begin, and where: each was read in full once."""
    result = await connection.execute(
        text("SELECT entity, watermark FROM sync.watermarks WHERE org_id = :org_id AND scope = ''"), {"org_id": org_id}
    )
    return {row.entity: row.watermark for row in result}


async def advance_watermark(connection: AsyncConnection, run: RunHandle) -> None:
    """Everything up to the end of the run's window is now known; in the transaction that completes the run."""
    await connection.execute(
        text(
            """
            INSERT INTO sync.watermarks (org_id, entity, scope, watermark, run_id)
            VALUES (:org_id, :entity, :scope, coalesce(CAST(:until AS timestamptz), :started_at), :run_id)
            ON CONFLICT (org_id, entity, scope) DO UPDATE
            SET watermark = excluded.watermark, run_id = excluded.run_id
            WHERE watermarks.watermark < excluded.watermark
            """
        ),
        {
            "org_id": run.org_id,
            "entity": run.entity,
            "scope": run.scope,
            "until": run.window.until,
            "started_at": run.started_at,
            "run_id": run.run_id,
        },
    )
