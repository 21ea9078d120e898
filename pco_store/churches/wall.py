"""Whether a church is being removed: nothing of it may be begun then, nor written without a run.

A check holds a lock of the church until the transaction ends. The removal takes that lock exclusively, once: what
passed the check earlier is committed and visible by then, and every later check is refused.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import ChurchRemoved

CHURCH_LOCK: Final = "hashtextextended('church:' || {org_id}, 0)"


async def refuse_removed(connection: AsyncConnection, *org_ids: str) -> None:
    """Raises `ChurchRemoved` for a church that is being removed, or was and is not connected again."""
    names = sorted(set(org_ids))
    await connection.execute(
        text(
            f"SELECT pg_advisory_xact_lock_shared({CHURCH_LOCK.format(org_id='one')}) "  # noqa: S608 - own constant
            "FROM unnest(CAST(:names AS text[])) AS one"
        ),
        {"names": names},
    )
    found = await connection.execute(
        text(
            "SELECT org_id, removed_at FROM sync.churches "
            "WHERE org_id = ANY(CAST(:names AS text[])) AND removal_began_at IS NOT NULL LIMIT 1"
        ),
        {"names": names},
    )
    row = found.one_or_none()
    if row is not None:
        raise ChurchRemoved(row.org_id, is_over=row.removed_at is not None)


async def removed_churches(connection: AsyncConnection) -> dict[str, bool]:
    """The churches that are being removed, and those that were (True)."""
    found = await connection.execute(
        text("SELECT org_id, removed_at IS NOT NULL AS is_over FROM sync.churches WHERE removal_began_at IS NOT NULL")
    )
    return {row.org_id: row.is_over for row in found}


async def admit_churches(connection: AsyncConnection, org_ids: Sequence[str]) -> None:
    """Churches that were removed may be synced again. Raises `ChurchRemoved` while one is still being removed.

    A database without our tables has removed none.
    """
    if await connection.scalar(text("SELECT to_regclass('sync.churches')")) is None:
        return
    await connection.execute(
        text("DELETE FROM sync.churches WHERE org_id = ANY(CAST(:names AS text[])) AND removed_at IS NOT NULL"),
        {"names": list(org_ids)},
    )
    await refuse_removed(connection, *org_ids)
