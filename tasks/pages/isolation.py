"""Isolates the records for which PCO fails: halves a page until each stands alone, and puts only its place aside.

An outage looks the same from one page, so the product itself is asked first. And a list of which nothing can be read
has no bad records: it fails as a whole. So places are only quarantined if another part of the page was answered, or,
where every record of it is bad, if the list is answered at another place at that time. That may be so for a few pages
of a run; a list of which more fail fails as a whole, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pco_client.documents import Page
from pco_client.errors import PcoError, RetryError, TooMuchIncluded
from pco_store.ledger.members import note_page_size
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.quarantine.items import Quarantined, put_quarantined, resolve_read_again
from pco_store.ledger.runs import PageReceipt, check_fence, shown_elsewhere
from pco_walks.in_parts import of_parts
from pco_walks.walk import PageReading
from tasks.logs import sync_logger
from tasks.pages.apply_page import reading_of
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import ProcessPage
from tasks.pages.sync_context import SyncContext
from tasks.retries import POISONOUS

MOST_UNANSWERED: Final = 24
"""So many parts of a page may fail before one is answered. One bad record costs eight at most, of a page of 100."""

MOST_PAGES_ASIDE: Final = 2
"""So many pages of a part of a run may be quarantined as a whole."""


@dataclass(kw_only=True)
class _Halving:
    sync: SyncContext
    page: PageRef
    process_part: ProcessPage
    answered: list[PageReading] = field(default_factory=list)
    places: list[tuple[PageRef, PcoError]] = field(default_factory=list)
    failures: int = 0
    has_read_alone: bool = False


async def isolate(sync: SyncContext, page: PageRef, error: PcoError, process_part: ProcessPage) -> PageReading:
    """Read what can be read of the page, quarantine the places that cannot, and commit both as one reading of the page.

    Raises the error if neither the page nor another place of its list is answered, or the product itself does not
    answer: the sync can be continued later.
    """
    if isinstance(error, TooMuchIncluded):  # it was tried for some seconds only, and may be an outage
        await sync.patient.patiently(sync.see_the_product)
    else:
        await sync.see_the_product()
    halving = _Halving(sync=sync, page=page, process_part=process_part, failures=1)
    await _halve(page, error, halving)
    if isinstance(error, TooMuchIncluded) and halving.answered and not halving.has_read_alone:
        await _ask_for_less(sync, page, max(one.size for one in halving.answered))
    elsewhere = None if halving.answered else await _show_elsewhere(sync, page)
    if not halving.answered and elsewhere is None:
        raise error
    whole = isolated_reading(page, halving.answered, elsewhere)
    await _commit(sync, page, whole, halving.places)
    sync.tally.quarantined += len(halving.places)
    return whole


async def read_in_parts(sync: SyncContext, page: PageRef, most: int, process_part: ProcessPage) -> PageReading:
    """Read a page in parts of so many records at most, in the direction of its walk, and commit it as one reading."""
    halving = _Halving(sync=sync, page=page, process_part=process_part)
    end = page.offset + page.size
    parts = [replace(page, offset=one, size=min(most, end - one)) for one in range(page.offset, end, most)]
    for part in _in_direction(parts, sync):
        await _read_part(part, halving)
    if not halving.answered:
        raise halving.places[0][1]
    whole = isolated_reading(page, halving.answered)
    await _commit(sync, page, whole, halving.places)
    sync.tally.quarantined += len(halving.places)
    return whole


async def _ask_for_less(sync: SyncContext, page: PageRef, size: int) -> None:
    """Remember how many records PCO answers with, for the rest of this run and for those of a month to come.

    Unless the whole page is answered after all, or fails for another reason: then it was not too much.
    """

    async def ask() -> int:
        async with sync.large_pages:
            return (await sync.fetch(page)).requests

    try:
        sync.patient.requests += await sync.patient.patiently(ask, is_one_record=True)
    except TooMuchIncluded:
        pass
    except RetryError:
        return
    else:
        return
    sync.evidence.most_at_a_time = size
    sync_logger().warning("%s: more than %d records with what comes with them are too many", sync.run.key, size)
    async with sync.database.transaction() as connection:
        await note_page_size(connection, sync.run, size)


def isolated_reading(page: PageRef, answered: Sequence[PageReading], elsewhere: Page | None = None) -> PageReading:
    """What a page showed of which these parts were answered.

    If none was, the count is what PCO said `elsewhere` in the list.
    """
    end, total = page.offset + page.size, None if elsewhere is None else elsewhere.total_count
    return of_parts(
        PageReading(
            offset=page.offset,
            size=page.size,
            reading=page.reading,
            rows=0,
            next_offset=None if total is not None and total <= end else end,
            total_count=total,
        ),
        answered,
    )


async def _show_elsewhere(sync: SyncContext, page: PageRef) -> Page | None:
    """A record of the list that is in front of this page or behind it; None if PCO shows none now.

    Nor is it looked for where enough pages were quarantined, or where pages prove each other by the records they share.
    """
    if sync.windows[page.part].is_newest_first:
        return None
    async with sync.database.transaction() as connection:
        place, aside = await shown_elsewhere(connection, sync.run, page.part)
    if aside >= MOST_PAGES_ASIDE:
        return None
    other = replace(page, offset=page.offset + page.size if place is None else place, size=1)
    try:
        fetched = await sync.fetch(other)
    except POISONOUS:
        return None
    sync.patient.requests += fetched.requests
    return fetched.page if fetched.page.records else None


async def _halve(page: PageRef, error: PcoError, halving: _Halving) -> None:
    if page.size == 1 and isinstance(error, TooMuchIncluded):
        halving.has_read_alone = True  # one owner has too many; that says nothing about pages of others
        await _read_part(replace(page, include=()), halving)
        return
    if page.size == 1:
        halving.places.append((page, error))
        return
    half = page.size // 2
    halves = [replace(page, size=half), replace(page, offset=page.offset + half, size=page.size - half)]
    for part in _in_direction(halves, halving.sync):
        await _read_part(part, halving)


def _in_direction(parts: Sequence[PageRef], sync: SyncContext) -> Sequence[PageRef]:
    """As the walk reads its pages, so that a record that moves between two parts is seen twice, and never missed."""
    return parts if sync.windows[parts[0].part].is_newest_first else parts[::-1]


async def _read_part(part: PageRef, halving: _Halving) -> None:
    try:
        halving.answered.append(reading_of(PageReceipt(**await halving.process_part(part))))
    except POISONOUS as error:
        halving.failures += 1
        is_doubted = halving.failures == MOST_UNANSWERED + 1 and not halving.answered
        if is_doubted and await _show_elsewhere(halving.sync, halving.page) is None:
            raise
        await _halve(part, error, halving)


async def _commit(
    sync: SyncContext, page: PageRef, whole: PageReading, places: Sequence[tuple[PageRef, PcoError]]
) -> None:
    run = sync.run
    async with sync.database.transaction() as connection:
        await check_fence(connection, run)
        if page.reading > 1:
            await resolve_read_again(
                connection, run.run_id, part=page.part, reading=page.reading, offset=page.offset, size=page.size
            )
        await put_quarantined(
            connection,
            [
                Quarantined(
                    org_id=run.org_id,
                    entity=page.entity,
                    run_id=run.run_id,
                    reading=place.reading,
                    offset=place.offset,
                    record_id=None,
                    reason=f"cannot be fetched: {why}",
                    raw=None,
                    part=page.part,
                )
                for place, why in places
            ],
        )
        nothing = PageOfRows(
            run=run, table=sync.table, rows=(), receipt=_receipt_of(page, whole, quarantined=len(places)), ids=()
        )
        await commit_page(connection, nothing)


def _receipt_of(page: PageRef, reading: PageReading, *, quarantined: int) -> PageReceipt:
    """A ledger entry that carries what the walk needs; rows and counts stand in the parts' own entries."""
    return PageReceipt(
        reading=reading.reading,
        offset=reading.offset,
        page_size=reading.size,
        rows=0,
        quarantined=quarantined,
        next_offset=reading.next_offset,
        total_count=reading.total_count,
        part=page.part,
        reached=reading.reached,
        seen_before=reading.seen_before,
    )
