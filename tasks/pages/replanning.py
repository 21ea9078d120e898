"""Reads a run in other parts than it began with: a long list by windows of time, one whose filters fail as a whole."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.changes import can_be_ranged
from pco_client.documents import Page
from pco_client.sansio import PageRequest, Where
from pco_store.ledger.quarantine.items import resolve_all_of_run
from pco_store.ledger.runs import save_parts, save_window
from pco_walks.back_to_front import BackToFront
from pco_walks.hidden import count_hidden, looks_capped
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part, divide, encode_parts, whole_again
from pco_walks.pco_clock import corrected_until
from pco_walks.window import Window
from tasks.logs import sync_logger
from tasks.pages.sync_context import SyncContext
from tasks.patience import patiently
from tasks.retries import POISONOUS


async def replan(walks: PartWalks, sync: SyncContext) -> bool:
    """Whether other pages are to be read than were asked for, by what the answers showed; the ledger keeps new parts.

    Raises the errors of client and store.
    """
    if await _correct_window(walks, sync):
        return True
    evidence, only = sync.evidence, walks.only_part
    walk = None if only is None else walks.walks[only.number]
    if isinstance(walk, BackToFront) and walk.opens_whole and walk.is_finished and walk.has_only_opened:
        return False  # the whole list was one page, and no filter has decided what it shows
    if evidence.order_ignored and any(part.window.order for part in walks.parts.values()):
        await _read_whole(walks, sync, f"PCO does not order {sync.entity.name} by updated_at any more")
        return True
    if evidence.window_ignored and any(part.window.attributes for part in walks.parts.values()):
        names = sorted(frozenset().union(*(part.window.attributes for part in walks.parts.values())))
        why = f"PCO does not filter {sync.entity.name} by {' and '.join(names)} any more"
        await _read_whole(walks, sync, why)
        return True
    if only is None or not only.window.attribute or not isinstance(walk, BackToFront):
        return False
    if walk.opens_whole and walk.page_count is not None and not evidence.nothing_hidden:
        why = await _why_not_by_window(walk, only.window, sync)
        if why:
            await _read_whole(walks, sync, why)
            return True
    total = walk.opening_count if walk.has_only_opened and not walk.is_strict else None
    if total is None or total <= sync.part_records:
        return False
    return await _divide(walks, sync, only, total)


async def _why_not_by_window(walk: BackToFront, window: Window, sync: SyncContext) -> str:
    """Why the list cannot be read by a window that should hold everything until a time; empty as long as it can.

    What the opening page counted without any filter is compared with what the window counts. Where the one equals the
    other, that costs no request.
    """
    everything, inside = walk.opening_count, walk.window_count
    if walk.is_miscounted or everything is None:
        return f"PCO's count of {sync.entity.name} cannot be relied on"
    if inside is None and everything > sync.part_records:
        inside = await _count(sync, window.where())  # dividing relies on counts before any other page is read
        if inside is None:
            return f"PCO's count of {sync.entity.name} cannot be relied on"
    if inside is None:
        return ""
    if looks_capped(everything) and await _is_there(sync, everything):
        return f"PCO's count of {sync.entity.name} ends at {everything}, and the list does not"
    if everything > inside:
        counting = count_hidden(window)
        try:
            asked = next(counting)
            while True:
                asked = counting.send(await _count(sync, asked))
        except StopIteration as done:
            hidden: int | None = done.value
        if hidden is None:
            return f"PCO's count of {sync.entity.name} cannot be relied on"
        if hidden:
            return f"PCO's filter by {window.attribute} leaves out {hidden} records of {sync.entity.name}"
    sync.evidence.nothing_hidden = True
    return ""


async def _correct_window(walks: PartWalks, sync: SyncContext) -> bool:
    """Whether the list has to be read again, because its window did not end at PCO's time in the first answer.

    Not where that answer was the opening page: no other request has named the window's end yet.
    """
    evidence, only = sync.evidence, walks.only_part
    if evidence.answered_at is None or evidence.corrected_until is not None or only is None or only.number > 0:
        return False
    run = sync.run
    until = corrected_until(
        run.window.until,
        evidence.answered_at,
        opened_at=run.started_at,
        took=evidence.answered_after,
        is_new=run.is_new,
        is_child=run.parent_run_id is not None,
    )
    if until is None or sync.run.window.until is None:
        return False
    if walks.is_finished and sync.run.parent_run_id is not None:
        return False  # one page was the whole list, and nothing depends on where a child's window ends
    evidence.corrected_until = until
    window, walk = replace(only.window, until=until), walks.walks[only.number]
    has_only_opened = run.is_new and isinstance(walk, BackToFront) and walk.opens_whole and walk.has_only_opened
    is_later = not walks.is_finished or until > sync.run.window.until
    is_read_again = window.is_bounded and not has_only_opened and is_later
    parts = [Part(number=1, window=window)] if is_read_again else []
    sync_logger().warning("%s: by PCO's clock its window ends at %s", sync.run.key, until)

    async def save(connection: AsyncConnection) -> None:
        await save_window(connection, sync.run, until)
        if parts:
            await save_parts(connection, sync.run, encode_parts(parts, ""))

    await patiently(sync, save)
    if parts:
        sync.windows.update({part.number: part.window for part in parts})
        walks.replace(parts)
    elif has_only_opened:
        sync.windows[only.number] = window
        walks.move_end(only.number, window)
    return bool(parts)


async def _divide(walks: PartWalks, sync: SyncContext, whole: Part, total: int) -> bool:
    second = None
    if whole.window.attribute == "updated_at" and can_be_ranged(sync.entity, "created_at"):
        second = "created_at"  # never the other way round: a record that changes would move to a window that is read
    dividing = divide(whole.window, total, most=sync.part_records, second=second)
    try:
        asked = next(dividing)
        while True:
            asked = dividing.send(await _count(sync, asked.where()))
    except StopIteration as done:
        windows: list[Window] = done.value
    if len(windows) == 1:
        return False
    parts = [Part(number=number, window=one) for number, one in enumerate(windows, start=whole.number + 1)]
    sync_logger().info("%s: %d records, read in %d windows of time", sync.run.key, total, len(parts))
    await _save(walks, sync, parts, "")
    return True


async def _count(sync: SyncContext, where: tuple[Where, ...]) -> int | None:
    """How many records fit; None where PCO does not say, or cannot render the first of them."""
    page = await _one_record(sync, where, 0)
    if page is None:
        return None
    is_known = page.can_query_by is None or all(one.attribute in page.can_query_by for one in where)
    return page.total_count if is_known else None


async def _is_there(sync: SyncContext, offset: int) -> bool:
    """Whether the list shows anything at this offset. What PCO cannot render is there, too."""
    page = await _one_record(sync, (), offset)
    return page is None or bool(page.records)


async def _one_record(sync: SyncContext, where: tuple[Where, ...], offset: int) -> Page | None:
    request = PageRequest(path=sync.path, api_version=sync.entity.api_version, offset=offset, per_page=1, where=where)
    try:
        return (await sync.patient.fetch_page(request, expected_type=sync.entity.resource)).page
    except POISONOUS:
        return None


async def _read_whole(walks: PartWalks, sync: SyncContext, why: str) -> None:
    sync_logger().warning("%s: %s; all of it is read instead", sync.run.key, why)
    sync.evidence.fallback = why
    await _save(walks, sync, whole_again(list(walks.parts.values())), why)


async def _save(walks: PartWalks, sync: SyncContext, parts: Sequence[Part], why: str) -> None:
    async def save(connection: AsyncConnection) -> None:
        await save_parts(connection, sync.run, encode_parts(parts, why))
        if why:
            await resolve_all_of_run(connection, sync.run.run_id)

    await patiently(sync, save)
    sync.windows.update({part.number: part.window for part in parts})
    walks.replace(parts)
