"""Reads a run in other parts than it began with: a long list by windows of time, one whose filters fail as a whole."""

from collections.abc import Sequence
from dataclasses import replace

from pco_client.sansio import PageRequest
from pco_store.ledger import save_parts, save_window
from tasks.clocks import corrected_until
from tasks.logs import sync_logger
from tasks.part_walks import PartWalks
from tasks.parts import Part, divide, encode_parts, whole_again
from tasks.retries import POISONOUS, retried
from tasks.sync_context import SyncContext
from tasks.walk import Walk
from tasks.window import Window, can_be_ranged


async def replan(walks: PartWalks, sync: SyncContext, *, delays: Sequence[float]) -> bool:
    """Whether other pages are to be read than were asked for, by what the answers showed; the ledger keeps new parts.

    `delays` are the waits between the tries of a request. Raises the errors of client and store.
    """
    counters, only = sync.counters, walks.only_part
    if await _correct_window(walks, sync, delays):
        return True
    if counters.order_ignored and any(part.window.is_newest_first for part in walks.parts.values()):
        await _read_whole(walks, sync, f"PCO does not order {sync.entity.name} by updated_at any more", delays)
        return True
    if counters.window_ignored and any(part.window.attributes for part in walks.parts.values()):
        if only is not None and only.window.since is None:
            return walks.distrust_counts()  # it reads the whole collection as it is
        names = sorted(frozenset().union(*(part.window.attributes for part in walks.parts.values())))
        why = f"PCO does not filter {sync.entity.name} by {' and '.join(names)} any more"
        await _read_whole(walks, sync, why, delays)
        return True
    if only is None or not only.window.attribute or counters.window_ignored:
        return False
    walk = walks.walks[only.number]
    total = walk.only_count if isinstance(walk, Walk) and not walk.is_strict else None
    if total is None or total <= sync.part_records:
        return False
    return await _divide(walks, sync, only, total, delays)


async def _correct_window(walks: PartWalks, sync: SyncContext, delays: Sequence[float]) -> bool:
    """Whether the list has to be read anew, because its window did not end at PCO's time in the first answer."""
    counters, only = sync.counters, walks.only_part
    if counters.answered_at is None or counters.corrected_until is not None or only is None or only.number > 0:
        return False
    until = corrected_until(sync.run, counters.answered_at, is_new=sync.is_new)
    if until is None or sync.run.window.until is None:
        return False
    if walks.is_finished and sync.run.parent_run_id is not None:
        return False  # one page was the whole list, and nothing depends on where a child's window ends
    counters.corrected_until = until
    is_read_anew = only.window.is_bounded and (not walks.is_finished or until > sync.run.window.until)
    parts = [Part(number=1, window=replace(only.window, until=until))] if is_read_anew else []
    sync_logger().warning("%s: by PCO's clock its window ends at %s", sync.run.key, until)

    async def save(_: int) -> None:
        async with sync.database.transaction() as connection:
            await save_window(connection, sync.run, until)
            if parts:
                await save_parts(connection, sync.run, encode_parts(parts, ""))

    await retried(save, delays=delays)
    if parts:
        sync.windows.update({part.number: part.window for part in parts})
        walks.replace(parts)
    return bool(parts)


async def _divide(walks: PartWalks, sync: SyncContext, whole: Part, total: int, delays: Sequence[float]) -> bool:
    second = None
    if whole.window.attribute == "updated_at" and can_be_ranged(sync.entity, "created_at"):
        second = "created_at"  # never the other way round: a record that changes would move to a window that is read
    dividing = divide(whole.window, total, most=sync.part_records, second=second)
    try:
        asked = next(dividing)
        while True:
            asked = dividing.send(await _count(sync, asked, delays))
    except StopIteration as done:
        windows: list[Window] = done.value
    if len(windows) == 1:
        return False
    parts = [Part(number=number, window=one) for number, one in enumerate(windows, start=whole.number + 1)]
    sync_logger().info("%s: %d records, read in %d windows of time", sync.run.key, total, len(parts))
    await _save(walks, sync, parts, "", delays)
    return True


async def _count(sync: SyncContext, window: Window, delays: Sequence[float]) -> int | None:
    """How many records a window holds; None where PCO does not say, or cannot render the first of them."""
    request = PageRequest(path=sync.path, api_version=sync.entity.api_version, per_page=1, where=window.where())
    try:
        fetched = await retried(
            lambda _: sync.client.fetch_page(request, expected_type=sync.entity.resource, lane=sync.lane), delays=delays
        )
    except POISONOUS:
        return None
    sync.counters.requests += fetched.requests
    known = fetched.page.can_query_by
    return fetched.page.total_count if known is None or window.attributes <= known else None


async def _read_whole(walks: PartWalks, sync: SyncContext, why: str, delays: Sequence[float]) -> None:
    sync_logger().warning("%s: %s; all of it is read instead", sync.run.key, why)
    sync.counters.fallback = why
    await _save(walks, sync, whole_again(list(walks.parts.values())), why, delays)


async def _save(walks: PartWalks, sync: SyncContext, parts: Sequence[Part], why: str, delays: Sequence[float]) -> None:
    async def save(_: int) -> None:
        async with sync.database.transaction() as connection:
            await save_parts(connection, sync.run, encode_parts(parts, why))

    await retried(save, delays=delays)
    sync.windows.update({part.number: part.window for part in parts})
    walks.replace(parts)
