"""Records that PCO says were merged into others: they get their tombstone without being asked for."""

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tables import quoted_name


async def follow_mergers(
    connection: AsyncConnection, *, org_id: str, of: Table, told_by: Table, kept: str, removed: str
) -> int:
    """Give every removed record its tombstone, with the reason `merged into <id>`; how many were marked or renamed.

    One that a request sent after the merge has shown is left alone, and one that is gone already gets the better
    reason. Of several merges of a record the last one counts. Safe to repeat.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE {quoted_name(of)} AS gone
            SET _deleted_at = coalesce(gone._deleted_at, now()), _deleted_reason = 'merged into ' || merger.kept
            FROM (SELECT DISTINCT ON ({removed}) {removed} AS removed, {kept} AS kept, created_at
                  FROM {quoted_name(told_by)} WHERE org_id = :org_id AND _deleted_at IS NULL AND {kept} IS NOT NULL
                  ORDER BY {removed}, created_at DESC) AS merger
            WHERE gone.org_id = :org_id AND gone.id = merger.removed
              AND gone._deleted_reason IS DISTINCT FROM 'merged into ' || merger.kept
              AND (gone._deleted_at IS NOT NULL OR gone._synced_at < merger.created_at)
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id},
    )
    return int(result.rowcount)
