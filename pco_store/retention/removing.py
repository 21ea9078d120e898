"""Removes what is over. Safe to kill, to repeat, and beside syncs: each transaction is small."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.clock import database_time
from pco_store.database import Database
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.rows import remove_proofs, remove_resolved
from pco_store.retention.turns import (
    Judged,
    Newer,
    backfills_are_done,
    have_children,
    judge_turns,
    pinned_runs,
    remove_children,
    remove_turns,
)

T = TypeVar("T")

QUICK_SECONDS: Final = 0.03
SLOW_SECONDS: Final = 0.1
MOST_ROWS: Final = 400
FEWEST_ROWS: Final = 20


@dataclass(kw_only=True, slots=True)
class Removed:
    """How many rows went; `turns` is None if old turns are needed still (`make migrate` fills columns from them).

    `slowest` is the longest transaction that locks rows, in seconds; those that only look at the ledger lock none.
    """

    turns: int | None = 0
    children: int = 0
    proofs: int = 0
    resolved: int = 0
    slowest: float = 0.0
    at_a_time: int = 200


async def remove_what_is_over(
    database: Database, lifetimes: Lifetimes | None = None, now: datetime | None = None
) -> Removed:
    """Remove what is older than its lifetime and that nobody reads any more. Raises `StoreUnavailable`."""
    kept, removed = lifetimes or Lifetimes(), Removed()
    async with database.transaction() as connection:
        moment = now or await database_time(connection)
        may_remove_turns = await backfills_are_done(connection)
    if may_remove_turns:
        await _remove_turns(database, kept, moment - kept.turns, removed)
    else:
        removed.turns = None
    removed.proofs = await _remove_rows(database, remove_proofs, moment - kept.proofs, removed)
    removed.resolved = await _remove_rows(database, remove_resolved, moment - kept.resolved, removed)
    return removed


async def _remove_turns(database: Database, kept: Lifetimes, before: datetime, removed: Removed) -> None:
    """Twice through the ledger, from its newest row on: which epochs stay is known only at its end."""
    async with database.transaction() as connection:
        pinned = await pinned_runs(connection)

    async def stretches() -> AsyncIterator[Judged]:
        newer, below = Newer(kept.newest_turns), None
        while True:
            async with database.transaction() as connection:
                judged = await judge_turns(
                    connection, newer, below=below, at_a_time=removed.at_a_time, before=before, pinned=pinned
                )
            if judged is None:
                return
            yield judged
            below = judged.last

    staying: set[tuple[str, str]] = set()
    seen: int | None = None
    async for judged in stretches():
        staying |= judged.staying
        seen = judged.last if seen is None else seen
    if seen is None:
        return
    async for judged in stretches():
        await _remove_over(database, judged, staying, before, seen, removed)


async def _remove_over(
    database: Database,
    judged: Judged,
    staying: set[tuple[str, str]],
    before: datetime,
    seen: int,
    removed: Removed,
) -> None:
    """Fan-outs before the lists of their parents, which stay with one that somebody holds or has reopened."""
    for run_id, org_id, epoch in judged.fan_outs:
        if (org_id, epoch) not in staying and not await _remove_groups(database, [run_id], before, seen, removed):
            staying.add((org_id, epoch))
    lists = [run_id for run_id, org_id, epoch in judged.lists if (org_id, epoch) not in staying]
    if lists:
        await _remove_groups(database, lists, before, seen, removed)


async def _remove_groups(database: Database, run_ids: list[int], before: datetime, seen: int, removed: Removed) -> int:
    """Remove these turns, their children before them; how many turns went."""
    async with database.transaction() as connection:
        roots = await have_children(connection, run_ids)
    for root_id in roots:
        gone = 1
        while gone:
            some_children = partial(
                remove_children, root_id=root_id, before=before, seen=seen, at_a_time=removed.at_a_time
            )
            gone = await _timed(database, some_children, removed)
            removed.children += gone
    turns = 0
    while run_ids:
        some, run_ids = run_ids[: removed.at_a_time], run_ids[removed.at_a_time :]
        turns += await _timed(database, partial(remove_turns, run_ids=some, before=before, seen=seen), removed)
    removed.turns = (removed.turns or 0) + turns
    return turns


async def _remove_rows(
    database: Database,
    remove: Callable[..., Awaitable[tuple[int, int | None]]],
    before: datetime,
    removed: Removed,
) -> int:
    total, after = 0, 0
    while True:
        gone, last = await _timed(database, partial(remove, after=after, before=before), removed)
        total += gone
        if last is None:
            return total
        after = last


async def _timed(database: Database, work: Callable[[AsyncConnection], Awaitable[T]], removed: Removed) -> T:
    began = time.monotonic()
    async with database.transaction() as connection:
        result = await work(connection)
    seconds = time.monotonic() - began
    removed.slowest = max(removed.slowest, seconds)
    if seconds > SLOW_SECONDS:
        removed.at_a_time = max(removed.at_a_time // 2, FEWEST_ROWS)
    elif seconds < QUICK_SECONDS:
        removed.at_a_time = min(removed.at_a_time * 3 // 2, MOST_ROWS)
    return result
