"""Which turns of the ledger are over, and their removal in small transactions: children first, the turn last.

A turn stays as long as somebody reads it: it is unfinished, or young; it holds what is in quarantine, or an end that
Prefect does not show yet; it is one of the newest of its list in its mode. Deletions and freshness look back to full
readings that prove something, so such a one goes only after newer ones that prove as much. An epoch goes as a whole:
as of when a fan-out was complete depends on its parents' turns in the same epoch.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OVER_STATES: Final = "({0}.state IN ('completed', 'closed') OR ({0}.state = 'failed' AND {0}.read_with IS NOT NULL))"
"""What was read with a list and is dropped has failed, and nobody continues it."""

_LOOSE: Final = "(run.turn IS NULL AND run.parent_run_id IS NULL)"
"""A list below one parent that somebody has read by hand."""

_ENDED_AT: Final = "greatest(run.started_at, run.completed_at, CASE run.state WHEN 'closed' THEN run.lease_until END)"

_PROVES: Final = """
    ({0}.state = 'completed' AND {0}.mode = 'full' AND {0}.entity <> 'organization'
     AND {0}.deletions ->> 'verdict' IN ('none', 'confirmed') AND {0}.plan ->> 'dropped' IS NULL
     AND {0}.run_id <> ALL(CAST(:pinned AS bigint[]))
     AND coalesce({0}.read_with <> ALL(CAST(:pinned AS bigint[])), true)
     AND ({0}.read_with IS NULL
          OR (SELECT list.state FROM sync.runs AS list WHERE list.run_id = {0}.read_with) = 'completed')
     AND (SELECT count(*) FROM sync.runs AS child WHERE child.parent_run_id = {0}.run_id
          AND child.state NOT IN ('completed', 'absent')) = 0)
"""
"""The same as in `sync.freshness`."""

_IS_OVER: Final = f"""
    {_ENDED_AT} < :before AND run.run_id <> ALL(CAST(:pinned AS bigint[])) AND CASE
        WHEN {_LOOSE} THEN run.state IN ('completed', 'absent', 'forbidden', 'closed')
        WHEN run.state = 'closed' THEN EXISTS (
            SELECT FROM sync.runs AS newer WHERE newer.org_id = run.org_id AND newer.entity = run.entity
            AND newer.scope = run.scope AND newer.turn > run.turn)
        WHEN {_OVER_STATES.format("run")} THEN (
            SELECT count(*) FROM (
                SELECT FROM sync.runs AS newer WHERE newer.org_id = run.org_id AND newer.entity = run.entity
                AND newer.scope = run.scope AND newer.turn > run.turn AND newer.mode = run.mode
                AND newer.state = 'completed'
                AND newer.fan_out -> 'below' IS NOT DISTINCT FROM run.fan_out -> 'below'
                AND (newer.parts ? 'due') IS NOT DISTINCT FROM (run.parts ? 'due')
                AND CASE WHEN {_PROVES.format("run")} THEN {_PROVES.format("newer")} ELSE true END
                LIMIT :newest_turns) AS enough) = :newest_turns
        ELSE false END
"""  # noqa: S608 - own constants


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Turns of a stretch of the ledger: which are over, and the epochs of those that stay; `last` is where it ends."""

    over: tuple[tuple[int, str, str], ...]
    staying: frozenset[tuple[str, str]]
    last: int


async def pinned_runs(connection: AsyncConnection) -> list[int]:
    """Turns that hold what is in quarantine, and those whose end Prefect does not show yet; their children, too."""
    result = await connection.execute(
        text(
            """
            WITH held AS (SELECT run_id FROM sync.quarantine WHERE resolved_at IS NULL
                          UNION SELECT run_id FROM sync.unshown)
            SELECT run_id FROM held
            UNION SELECT child.parent_run_id FROM held JOIN sync.runs AS child USING (run_id)
            WHERE child.parent_run_id IS NOT NULL
            """
        )
    )
    return list(result.scalars())


async def backfills_are_done(connection: AsyncConnection) -> bool:
    """Whether nothing is to be filled any more from old turns; not before `migrate` has done so once."""
    return bool(await connection.scalar(text("SELECT bool_and(completed_at IS NOT NULL) FROM sync.backfills")))


async def judge_turns(
    connection: AsyncConnection,
    *,
    after: int,
    at_a_time: int,
    before: datetime,
    newest_turns: int,
    pinned: Sequence[int],
) -> Judged | None:
    """Look at the next rows of the ledger, in the order of their numbers; None at its end.

    A young list is no reason for its epoch to stay; an unfinished one is, and a young fan-out:
    its parents may be old.
    """
    result = await connection.execute(
        text(
            f"""
            WITH stretch AS MATERIALIZED (
                SELECT run_id FROM sync.runs WHERE run_id > :after ORDER BY run_id LIMIT :at_a_time)
            SELECT run.run_id, run.org_id, run.epoch, run.run_id = (SELECT max(run_id) FROM stretch) AS is_last,
                run.turn IS NOT NULL OR {_LOOSE} AS is_turn, coalesce({_IS_OVER}, false) AS is_over,
                run.scope = '*' OR {_ENDED_AT} < :before OR NOT {_OVER_STATES.format("run")} AS holds_epoch
            FROM sync.runs AS run JOIN stretch USING (run_id)
            WHERE run.turn IS NOT NULL OR run.parent_run_id IS NULL OR run.run_id = (SELECT max(run_id) FROM stretch)
            """  # noqa: S608 - own constants
        ),
        {
            "after": after,
            "at_a_time": at_a_time,
            "before": before,
            "newest_turns": newest_turns,
            "pinned": list(pinned),
        },
    )
    rows = result.all()
    if not rows:
        return None
    turns = [row for row in rows if row.is_turn]
    return Judged(
        over=tuple((row.run_id, row.org_id, row.epoch) for row in turns if row.is_over),
        staying=frozenset((row.org_id, row.epoch) for row in turns if row.holds_epoch and not row.is_over),
        last=max(row.run_id for row in rows),
    )


async def remove_children(connection: AsyncConnection, root_id: int, *, before: datetime, at_a_time: int) -> int:
    """Remove some children of a turn that is over, with their pages; how many. 0 if somebody holds or reopened it.

    The dead and cancelled go first: after that nobody can give them new attempts, which would reopen the turn.
    """
    if not await _lock(connection, [root_id], before=before):
        return 0
    found = await connection.execute(
        text(
            "SELECT run_id FROM sync.runs WHERE parent_run_id = :root_id "
            "ORDER BY state NOT IN ('dead', 'cancelled'), run_id LIMIT :at_a_time FOR UPDATE"
        ),
        {"root_id": root_id, "at_a_time": at_a_time},
    )
    return await _remove(connection, list(found.scalars()))


async def remove_turns(connection: AsyncConnection, run_ids: Collection[int], *, before: datetime) -> int:
    """Remove turns that are over and have no children any more, with their pages; how many."""
    return await _remove(connection, await _lock(connection, run_ids, before=before, childless=True))


async def have_children(connection: AsyncConnection, run_ids: Collection[int]) -> list[int]:
    """Those of these turns that have children."""
    result = await connection.execute(
        text(
            "SELECT one FROM unnest(CAST(:run_ids AS bigint[])) AS one "
            "WHERE (SELECT run_id FROM sync.runs WHERE parent_run_id = one LIMIT 1) IS NOT NULL ORDER BY one"
        ),
        {"run_ids": list(run_ids)},
    )
    return list(result.scalars())


async def _lock(
    connection: AsyncConnection, run_ids: Collection[int], *, before: datetime, childless: bool = False
) -> list[int]:
    bare = "AND (SELECT run_id FROM sync.runs WHERE parent_run_id = run.run_id LIMIT 1) IS NULL" if childless else ""
    found = await connection.execute(
        text(
            f"""
            SELECT run_id FROM sync.runs AS run
            WHERE run_id = ANY(CAST(:run_ids AS bigint[])) AND {_ENDED_AT} < :before {bare}
              AND ({_OVER_STATES.format("run")} OR ({_LOOSE} AND state IN ('absent', 'forbidden')))
            ORDER BY run_id FOR UPDATE SKIP LOCKED
            """  # noqa: S608 - own constants
        ),
        {"run_ids": list(run_ids), "before": before},
    )
    return list(found.scalars())


async def _remove(connection: AsyncConnection, run_ids: Sequence[int]) -> int:
    if not run_ids:
        return 0
    for table in ("pages", "answers", "runs"):
        await connection.execute(
            text(f"DELETE FROM sync.{table} WHERE run_id = ANY(CAST(:run_ids AS bigint[]))"),  # noqa: S608 - own names
            {"run_ids": list(run_ids)},
        )
    return len(run_ids)
