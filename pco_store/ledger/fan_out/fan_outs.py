"""A fan-out as a whole: how far its children are, and when it is done."""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.due.readings import note_fan_out
from pco_store.errors import LeaseLost
from pco_store.ledger.fan_out.children import FIRST_PENDING
from pco_store.ledger.openings import handle_of
from pco_store.ledger.quarantine.superseded import resolve_superseded, resolve_superseded_below
from pco_store.ledger.results import note_unshown
from pco_store.ledger.run_facts import ChildCounts
from pco_store.ledger.runs import HAS_PAGES, OURS, RunHandle, ours

MOMENT_SECONDS: Final = 15.0
"""Whoever waits for a fan-out looks every second whether it is complete."""


async def count_children(connection: AsyncConnection, root_id: int) -> ChildCounts:
    """How far a fan-out is. Raises `LookupError` for a run that is none."""
    result = await connection.execute(
        text(
            """
            SELECT state, children, pending, submitted, running, completed, absent, forbidden, cancelled, dead,
                   (SELECT count(*) FROM sync.quarantine AS item JOIN sync.runs AS run USING (run_id)
                    WHERE item.org_id = fan_outs.org_id AND item.resolved_at IS NULL
                      AND :root_id IN (run.run_id, run.parent_run_id)) AS quarantined
            FROM sync.fan_outs WHERE run_id = :root_id
            """
        ),
        {"root_id": root_id},
    )
    row = result.one_or_none()
    if row is None:
        raise LookupError(f"run {root_id} is no fan-out")
    return ChildCounts(**row._mapping)


async def count_committed(connection: AsyncConnection, root_id: int, entity: str) -> tuple[int, int]:
    """The pages that all children have committed, and the rows of those that read `entity`."""
    result = await connection.execute(
        text(
            """
            SELECT count(*), coalesce(sum(page.rows) FILTER (WHERE child.entity = :entity), 0)
            FROM sync.pages AS page JOIN sync.runs AS child USING (run_id) WHERE child.parent_run_id = :root_id
            """
        ),
        {"root_id": root_id, "entity": entity},
    )
    pages, rows = result.one()
    return int(pages), int(rows)


async def count_repeats(connection: AsyncConnection, key: str) -> tuple[int, int]:
    """How many children of a fan-out were begun more than once, and how many have committed their first page twice."""
    result = await connection.execute(
        text(
            """
            WITH child AS (
                SELECT child.run_id, child.attempts FROM sync.runs AS child
                JOIN sync.runs AS root ON root.run_id = child.parent_run_id WHERE root.key = :key)
            SELECT (SELECT count(*) FROM child WHERE attempts > 1),
                   (SELECT count(*) FROM (
                       SELECT FROM child JOIN sync.pages AS page USING (run_id)
                       WHERE page.next_offset IS NULL AND page."offset" = 0
                       GROUP BY run_id HAVING count(*) > 1) AS doubled)
            """
        ),
        {"key": key},
    )
    again, doubled = result.one()
    return int(again), int(doubled)


async def find_fan_out(connection: AsyncConnection, key: str) -> RunHandle | None:
    """The fan-out with this key, to read from: the handle does not hold the fence."""
    result = await connection.execute(
        text("SELECT * FROM sync.runs WHERE key = :key AND fan_out IS NOT NULL"), {"key": key}
    )
    row = result.one_or_none()
    return None if row is None else handle_of(row)


async def has_begun(connection: AsyncConnection, root: RunHandle) -> bool:
    """Whether an earlier execution has begun to read the parents."""
    return bool(
        await connection.scalar(
            text("SELECT EXISTS (SELECT FROM sync.pages WHERE run_id = :run_id)"), {"run_id": root.run_id}
        )
    )


async def has_children(connection: AsyncConnection, root: RunHandle) -> bool:
    """Whether any child is written down."""
    return bool(
        await connection.scalar(
            text("SELECT EXISTS (SELECT FROM sync.runs WHERE parent_run_id = :run_id)"), {"run_id": root.run_id}
        )
    )


async def parents_are_complete(
    connection: AsyncConnection, root: RunHandle, parent: str, above: Sequence[Sequence[str]]
) -> bool:
    """Whether all lists of a fan-out's last parents were read in its epoch, at top level or below one of the chains."""
    return bool(
        await connection.scalar(
            text(
                """
                SELECT EXISTS (
                    SELECT FROM sync.runs AS parents
                    WHERE org_id = :org_id AND entity = :parent AND epoch = :epoch AND state = 'completed'
                      AND mode = 'full' AND (scope = '' OR (
                        scope = '*'
                        AND fan_out -> 'below' IN (SELECT jsonb_array_elements(CAST(:above AS jsonb)))
                        AND NOT EXISTS (SELECT FROM sync.runs AS child
                                        WHERE child.parent_run_id = parents.run_id
                                          AND child.state NOT IN ('completed', 'absent')))))
                """
            ),
            {
                "org_id": root.org_id,
                "parent": parent,
                "epoch": root.epoch,
                "above": json.dumps([list(one) for one in above]),
            },
        )
    )


async def mark_awaiting_children(connection: AsyncConnection, root: RunHandle, *, pages: int = 0) -> None:
    """All parents are read; from here on the children go on by themselves; safe to repeat. Raises `LeaseLost`, also if
    the ledger has not all `pages` that were committed to it.

    What earlier runs had quarantined of the outermost parents is resolved if this one has read them.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs SET state = 'awaiting', error = NULL, lease_until = now()
            WHERE {OURS} AND state IN ('running', 'awaiting') AND {HAS_PAGES}
            """  # noqa: S608 - own constants
        ),
        {"pages": pages, **ours(root)},
    )
    if result.rowcount != 1:
        raise LeaseLost(root.key, root.fence)
    if root.fan_out is not None and await has_begun(connection, root):
        await resolve_superseded(connection, root, entity=root.fan_out.below[0])


async def complete_if_done(connection: AsyncConnection, root_id: int) -> bool:
    """Complete a fan-out whose last child is done; whether this was it.

    The row is locked before the children are looked at, so that whoever adds or revives one is seen, or sees us. What
    earlier fan-outs had quarantined in the lists that this one has read is resolved by that, and when they were read is
    noted. Whoever waits for it has a moment to begin to look for what they miss, before the recovery asks somebody.
    """
    await connection.execute(text("SELECT FROM sync.runs WHERE run_id = :root_id FOR UPDATE"), {"root_id": root_id})
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs
            SET state = 'completed', completed_at = now(), not_before = now() + make_interval(secs => :moment)
            WHERE run_id = :root_id AND state = 'awaiting' AND {FIRST_PENDING} IS NULL
              AND (SELECT count(*) FROM sync.runs AS child
                   WHERE child.parent_run_id = :root_id AND child.state IN ('submitted', 'running')) = 0
            """  # noqa: S608 - own constants
        ),
        {"root_id": root_id, "moment": MOMENT_SECONDS},
    )
    if result.rowcount:
        await resolve_superseded_below(connection, root_id)
        await note_fan_out(connection, root_id)
        await note_unshown(connection, root_id)
    return bool(result.rowcount)


async def cancel_fan_out(connection: AsyncConnection, root_id: int) -> bool:
    """Let no child start any more, and the running ones stop at their next lease; whether there was anything to stop.

    `sync_children` under the same key continues it.
    """
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs SET state = 'cancelled', fence = fence + 1, lease_until = now()
            WHERE run_id = :root_id AND fan_out IS NOT NULL AND state IN ('running', 'awaiting', 'failed')
            """
        ),
        {"root_id": root_id},
    )
    if result.rowcount:
        await note_unshown(connection, root_id)
    return bool(result.rowcount)


async def let_continue(connection: AsyncConnection, root_id: int) -> bool:
    """Whoever comes first may continue a fan-out that was cancelled or has failed; whether it was one of these.

    It stands as abandoned from here on, so the recovery continues it if nobody else does. The flow run that was
    cancelled is no longer its own: the recovery would take that for the wish of a person, and cancel it again.
    """
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs
            SET state = 'running', fence = fence + 1, error = NULL, lease_until = now(), flow_run_id = NULL
            WHERE run_id = :root_id AND fan_out IS NOT NULL AND state IN ('cancelled', 'failed')
            """
        ),
        {"root_id": root_id},
    )
    return bool(result.rowcount)


async def unfinished_fan_outs(connection: AsyncConnection) -> list[RunHandle]:
    """The fan-outs whose children shall go on, to read from."""
    result = await connection.execute(
        text(
            """
            SELECT * FROM sync.runs
            WHERE fan_out IS NOT NULL AND (state = 'awaiting' OR (state IN ('running', 'failed') AND EXISTS (
                SELECT FROM sync.runs AS child
                WHERE child.parent_run_id = runs.run_id AND child.state IN ('pending', 'submitted', 'running'))))
            ORDER BY run_id
            """
        )
    )
    return [handle_of(row) for row in result]
