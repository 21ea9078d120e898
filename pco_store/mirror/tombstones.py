"""Marks rows as deleted whose records are known to be gone; the rows stay."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tables import quoted_name


async def mark_deleted(
    connection: AsyncConnection, org_id: str, table: Table, ids: Sequence[str], *, reason: str, absent_at: datetime
) -> int:
    """Give these rows a tombstone, dated by when they were found absent; how many got one. Safe to repeat.

    A row that a request sent later has shown is left alone.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE {quoted_name(table)} SET _deleted_at = :absent_at, _deleted_reason = :reason
            WHERE org_id = :org_id AND id = ANY(CAST(:ids AS text[])) AND _deleted_at IS NULL
              AND _synced_at < :absent_at
            """  # noqa: S608 - names from the catalogue
        ),
        {"absent_at": absent_at, "reason": reason, "org_id": org_id, "ids": sorted(ids)},
    )
    return int(result.rowcount)
