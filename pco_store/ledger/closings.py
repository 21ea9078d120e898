"""How an epoch is given up: nothing continues it, its keys become free, and whoever holds it cannot commit any more."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import ORGANIZATION, RunRequest
from pco_store.ledger.runs import CLOSED

_MEMBERS: Final = "SELECT unnest(members) FROM sync.runs WHERE run_id = :run_id"

CONTINUED_FOR: Final = "CASE WHEN mode = 'delta' THEN interval '1 hour' ELSE interval '12 hours' END"
"""So long a church's failed or cancelled turn is continued by starts that name no epoch.

Less than its lists may be late, but as long as it may take to read all of them, or what a night has to read.
"""


async def close_run(connection: AsyncConnection, run_id: int) -> None:
    """Give up an epoch, its children and members: the keys become free, and their holders cannot commit any more.

    What PCO had said of single records is forgotten.

    It waits for pages that are being committed; these may add children, so it looks again until there are none.
    """
    while True:
        closed = await connection.execute(
            text(
                f"""
                UPDATE sync.runs SET {CLOSED}
                WHERE run_id IN (SELECT run_id FROM sync.runs
                                 WHERE (run_id = :run_id OR run_id IN ({_MEMBERS})
                                        OR parent_run_id = :run_id OR parent_run_id IN ({_MEMBERS}))
                                   AND state <> 'closed'
                                 ORDER BY run_id FOR UPDATE)
                """  # noqa: S608 - own constant
            ),
            {"run_id": run_id},
        )
        if not closed.rowcount:
            break
    await connection.execute(text("DELETE FROM sync.answers WHERE run_id = :run_id"), {"run_id": run_id})


async def close_epoch_of_church(connection: AsyncConnection, org_id: str, epoch: str) -> None:
    """Give up the lists and fan-outs of a church's epoch: it begins again, and they with it."""
    lists = await connection.execute(
        text(
            "SELECT run_id FROM sync.runs WHERE org_id = :org_id AND epoch = :epoch AND turn IS NOT NULL "
            "AND state <> 'closed' ORDER BY run_id"
        ),
        {"org_id": org_id, "epoch": epoch},
    )
    for run_id in lists.scalars().all():
        await close_run(connection, run_id)


async def give_up_what_keeps_failing(connection: AsyncConnection, found: Row[Any], request: RunRequest) -> bool:
    """Whether a church's turn that was found is given up, so that a new one reads again what it had completed.

    Continued again and again for one list that fails, it would keep all others from being read. What failed of it is
    closed with it; a turn that reads everything, or has completed nothing, is always continued.
    """
    if request.entity != ORGANIZATION or request.epoch is not None or found.mode == "full":
        return False
    failed = await connection.execute(
        text(
            f"""
            WITH part AS (
                SELECT run_id, mode, state, started_at FROM sync.runs
                WHERE org_id = :org_id AND epoch = :epoch AND turn IS NOT NULL AND read_with IS NULL)
            SELECT run_id FROM part WHERE state IN ('failed', 'cancelled')
              AND EXISTS (SELECT FROM part WHERE run_id = :run_id AND state IN ('failed', 'cancelled')
                          AND started_at < now() - {CONTINUED_FOR})
              AND EXISTS (SELECT FROM part WHERE run_id <> :run_id AND state = 'completed')
            ORDER BY run_id
            """  # noqa: S608 - own constant
        ),
        {"org_id": found.org_id, "epoch": found.epoch, "run_id": found.run_id},
    )
    run_ids = failed.scalars().all()
    for run_id in run_ids:
        await close_run(connection, run_id)
    return bool(run_ids)
