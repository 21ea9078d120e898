"""Which turns of the ledger are over, and their removal in small transactions: children first, the turn last.

A turn stays as long as somebody reads it: it is unfinished, or young; it holds what is in quarantine, or an end that
Prefect does not show yet; it is one of the newest of its list in its mode. Deletions and freshness look back to full
readings that prove something, so such a one goes only after newer ones that prove as much. An epoch goes as a whole:
as of when a fan-out was complete depends on its parents' turns in the same epoch.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_OVER_STATES: Final = "({0}.state IN ('completed', 'closed') OR ({0}.state = 'failed' AND {0}.read_with IS NOT NULL))"
"""What was read with a list and is dropped has failed, and nobody continues it."""

_LOOSE: Final = "(run.turn IS NULL AND run.parent_run_id IS NULL)"
"""A list below one parent that somebody has read by hand."""

_ENDED_AT: Final = "greatest(run.started_at, run.completed_at, CASE run.state WHEN 'closed' THEN run.lease_until END)"

_PROVES: Final = """
    (run.state = 'completed' AND run.mode = 'full' AND run.entity <> 'organization'
     AND run.deletions ->> 'verdict' IN ('none', 'confirmed') AND run.plan ->> 'dropped' IS NULL
     AND run.run_id <> ALL(CAST(:pinned AS bigint[]))
     AND coalesce(run.read_with <> ALL(CAST(:pinned AS bigint[])), true)
     AND (run.read_with IS NULL
          OR (SELECT list.state FROM sync.runs AS list WHERE list.run_id = run.read_with) = 'completed')
     AND (SELECT count(*) FROM sync.runs AS child WHERE child.parent_run_id = run.run_id
          AND child.state NOT IN ('completed', 'absent')) = 0)
"""
"""The same as in `sync.freshness`."""

_IS_DONE: Final = f"""
    ({_ENDED_AT} < :before AND run.run_id <> ALL(CAST(:pinned AS bigint[])) AND CASE
        WHEN {_LOOSE} THEN run.state IN ('completed', 'absent', 'forbidden', 'closed')
        ELSE {_OVER_STATES.format("run")} END)
"""

_NOT_WANTED_AGAIN: Final = """
    (run.org_id, run.epoch) NOT IN (
        SELECT young.org_id, young.epoch FROM sync.runs AS young
        WHERE young.run_id > :seen AND young.started_at >= :before AND young.scope = '*')
"""
"""A fan-out that opens in an old epoch after the ledger was looked through is known as of its parents' turns there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Turns of a stretch of the ledger: number, church and epoch of those that are over, fan-outs by themselves.

    `staying` are the epochs of those that stay; `last` is where the stretch ends.
    """

    fan_outs: tuple[tuple[int, str, str], ...]
    lists: tuple[tuple[int, str, str], ...]
    staying: frozenset[tuple[str, str]]
    last: int


class Newer:
    """Counts the turns of each list while the ledger is looked through from its newest row to its oldest."""

    def __init__(self, newest_turns: int) -> None:
        """So many of each list and mode stay, whatever their age."""
        self._newest_turns = newest_turns
        self._counts: Counter[tuple[Any, ...]] = Counter()

    def is_over(self, row: Row[Any]) -> bool:
        """Whether nobody reads this turn any more, as the newer ones decide; it is one of them from now on."""
        if row.turn is None:
            return bool(row.is_done)
        of_list = (row.org_id, row.entity, row.scope)
        of_mode = (*of_list, row.mode, row.below, row.is_due)
        if row.state == "closed":
            is_enough = self._counts[of_list] > 0
        else:
            is_enough = self._counts[*of_mode, row.proves] >= self._newest_turns
        self._counts[of_list] += 1
        if row.state == "completed":
            self._counts[*of_mode, False] += 1
            self._counts[*of_mode, True] += row.proves
        return bool(row.is_done) and is_enough


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
    newer: Newer,
    *,
    below: int | None,
    at_a_time: int,
    before: datetime,
    pinned: Sequence[int],
) -> Judged | None:
    """Look at the next older rows of the ledger, against the order of their numbers; None at its end.

    A young list is no reason for its epoch to stay; an unfinished one is, and a young fan-out:
    its parents may be old.
    """
    await connection.execute(text("SET LOCAL jit = off"))  # it takes milliseconds, and compiling it much longer
    result = await connection.execute(
        text(
            f"""
            WITH stretch AS MATERIALIZED (
                SELECT * FROM sync.runs WHERE run_id < coalesce(CAST(:below AS bigint), 9223372036854775807)
                ORDER BY run_id DESC LIMIT :at_a_time)
            SELECT run.run_id, run.org_id, run.entity, run.scope, run.epoch, run.turn, run.mode, run.state,
                CAST(run.fan_out -> 'below' AS text) AS below, coalesce(run.parts ? 'due', false) AS is_due,
                run.turn IS NOT NULL OR {_LOOSE} AS is_turn, coalesce({_IS_DONE}, false) AS is_done,
                coalesce({_PROVES}, false) AS proves,
                run.scope = '*' OR {_ENDED_AT} < :before OR NOT {_OVER_STATES.format("run")} AS holds_epoch
            FROM stretch AS run
            WHERE run.turn IS NOT NULL OR run.parent_run_id IS NULL OR run.run_id = (SELECT min(run_id) FROM stretch)
            ORDER BY run.run_id DESC
            """  # noqa: S608 - own constants
        ),
        {"below": below, "at_a_time": at_a_time, "before": before, "pinned": list(pinned)},
    )
    rows = result.all()
    if not rows:
        return None
    fan_outs: list[tuple[int, str, str]] = []
    lists: list[tuple[int, str, str]] = []
    staying: set[tuple[str, str]] = set()
    for row in rows:
        if row.is_turn and newer.is_over(row):
            (fan_outs if row.scope == "*" else lists).append((row.run_id, row.org_id, row.epoch))
        elif row.is_turn and row.holds_epoch:
            staying.add((row.org_id, row.epoch))
    return Judged(fan_outs=tuple(fan_outs), lists=tuple(lists), staying=frozenset(staying), last=rows[-1].run_id)


async def remove_children(
    connection: AsyncConnection, root_id: int, *, before: datetime, seen: int, at_a_time: int
) -> int:
    """Remove some children of a turn that is over, with their pages; how many. 0 if somebody holds or reopened it.

    From then on the turn and what came with it prove nothing: half of it may look complete. The dead and cancelled go
    first: after that nobody can give them new attempts, which would reopen it.
    """
    if not await _lock(connection, [root_id], before=before, seen=seen):
        return 0
    await connection.execute(
        text(
            """
            UPDATE sync.runs SET deletions = deletions || '{"verdict": "not_provable"}'
            WHERE deletions ->> 'verdict' IN ('none', 'confirmed') AND (
                run_id = :root_id
                OR run_id = ANY(ARRAY(SELECT unnest(members) FROM sync.runs WHERE run_id = :root_id)))
            """
        ),
        {"root_id": root_id},
    )
    found = await connection.execute(
        text(
            "SELECT run_id FROM sync.runs WHERE parent_run_id = :root_id "
            "ORDER BY state NOT IN ('dead', 'cancelled'), run_id LIMIT :at_a_time FOR UPDATE"
        ),
        {"root_id": root_id, "at_a_time": at_a_time},
    )
    return await _remove(connection, list(found.scalars()))


async def remove_turns(connection: AsyncConnection, run_ids: Collection[int], *, before: datetime, seen: int) -> int:
    """Remove turns that are over and have no children any more, with their pages; how many.

    `seen`: the number from which on the ledger may hold rows that were not there when it was looked through.
    """
    return await _remove(connection, await _lock(connection, run_ids, before=before, seen=seen, childless=True))


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
    connection: AsyncConnection, run_ids: Collection[int], *, before: datetime, seen: int, childless: bool = False
) -> list[int]:
    bare = "AND (SELECT run_id FROM sync.runs WHERE parent_run_id = run.run_id LIMIT 1) IS NULL" if childless else ""
    found = await connection.execute(
        text(
            f"""
            SELECT run_id FROM sync.runs AS run
            WHERE run_id = ANY(CAST(:run_ids AS bigint[])) AND {_ENDED_AT} < :before {bare}
              AND ({_OVER_STATES.format("run")} OR ({_LOOSE} AND state IN ('absent', 'forbidden')))
              AND {_NOT_WANTED_AGAIN}
            ORDER BY run_id FOR UPDATE SKIP LOCKED
            """  # noqa: S608 - own constants
        ),
        {"run_ids": list(run_ids), "before": before, "seen": seen},
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
