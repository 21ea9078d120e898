"""Quarantine of earlier runs that a later complete reading of the same list has resolved.

Whoever reads a whole list either stores what stood aside there, or puts it aside again under its own run; so the older
items say nothing any more. An item belongs to the list that its run has read: at top level, or below one parent. Only
what was observed before the later run's window ended is settled by it.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.runs import RunHandle

_READ_LATER = "item.created_at < least({run}.started_at, {run}.window_until + interval '1 second')"
"""PCO's times are exact to the second: a window includes the whole second in which it ends."""


async def resolve_superseded(connection: AsyncConnection, run: RunHandle, *, entity: str) -> int:
    """Resolve what earlier runs had quarantined of `entity` at top level, which `run` has just read completely.

    In the transaction that says so. A fan-out reads its outermost parents there, under an entity that is not theirs.
    What came with all owners was read below each of them, too, but for those that stand aside themselves. Safe to
    repeat; how many items that were.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.quarantine AS item SET resolved_at = now()
            FROM sync.runs AS earlier, sync.runs AS later
            WHERE item.org_id = :org_id AND item.entity = :entity AND item.resolved_at IS NULL
              AND earlier.run_id = item.run_id AND earlier.run_id <> later.run_id
              AND (earlier.scope IN ('', '*') OR (later.read_with IS NOT NULL AND NOT EXISTS (
                SELECT FROM sync.quarantine AS aside WHERE aside.run_id = later.read_with AND aside.resolved_at IS NULL
                  AND coalesce(aside.record_id = substring(earlier.scope FROM '[^/]*$'), true))))
              AND later.run_id = :run_id AND {_READ_LATER.format(run="later")}
            """  # noqa: S608 - own constants
        ),
        {"org_id": run.org_id, "entity": entity, "run_id": run.run_id},
    )
    return int(result.rowcount)


async def resolve_superseded_below(connection: AsyncConnection, root_id: int) -> None:
    """Resolve what earlier fan-outs on the same way had quarantined below parents whose lists this one has read.

    Once for a whole fan-out, when it completes: a child ends with its page, in one statement, which stays that way. A
    list that this fan-out has not read (a dead child, a forbidden one) settles nothing; nor does one without an include
    resolve what came with that. Safe to repeat.
    """
    await connection.execute(
        text(
            f"""
            UPDATE sync.quarantine AS item SET resolved_at = now()
            FROM sync.runs AS root, sync.runs AS own, sync.runs AS child, sync.runs AS earlier
            WHERE root.run_id = :root_id AND item.org_id = root.org_id AND item.resolved_at IS NULL
              AND own.run_id = item.run_id AND child.run_id = coalesce(own.read_with, own.run_id)
              AND (own.read_with IS NULL OR EXISTS (
                SELECT FROM sync.runs AS member WHERE member.run_id = ANY(root.members)
                  AND member.entity = item.entity AND member.plan ->> 'dropped' IS NULL))
              AND earlier.run_id = child.parent_run_id AND earlier.run_id <> root.run_id
              AND earlier.entity = root.entity AND earlier.fan_out -> 'below' = root.fan_out -> 'below'
              AND EXISTS (
                SELECT FROM sync.runs AS later
                WHERE later.org_id = child.org_id AND later.entity = child.entity AND later.scope = child.scope
                  AND later.parent_run_id = root.run_id AND later.state IN ('completed', 'absent')
                  AND {_READ_LATER.format(run="later")})
            """  # noqa: S608 - own constants
        ),
        {"root_id": root_id},
    )
