"""How much of a church is in the mirror."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tables import quoted_name


@dataclass(frozen=True, kw_only=True, slots=True)
class TableCount:
    """Rows of one church in one table: live ones, tombstones, and when a row was last written."""

    table: str
    live: int
    tombstones: int
    last_written: datetime | None


async def count_live(connection: AsyncConnection, table: Table, org_id: str) -> int:
    """How many records of one church are in a table, without the tombstones."""
    counted = await connection.scalar(
        text(
            f"SELECT count(*) FROM {quoted_name(table)} "  # noqa: S608 - names from the catalogue
            "WHERE org_id = :org_id AND _deleted_at IS NULL"
        ),
        {"org_id": org_id},
    )
    return int(counted or 0)


async def count_rows(connection: AsyncConnection, table: Table, org_id: str) -> TableCount:
    """Count one table for one church."""
    result = await connection.execute(
        text(
            f"""
            SELECT count(*) FILTER (WHERE _deleted_at IS NULL), count(*) FILTER (WHERE _deleted_at IS NOT NULL),
                   max(_synced_at)
            FROM {quoted_name(table)} WHERE org_id = :org_id
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id},
    )
    live, tombstones, last_written = result.one()
    return TableCount(table=f"{table.schema}.{table.name}", live=live, tombstones=tombstones, last_written=last_written)
