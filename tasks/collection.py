"""Reads a whole collection: keeps pages in flight until the walk has its proof, isolates what cannot be read."""

import asyncio
from collections import deque
from dataclasses import replace

from pco_client.errors import PcoError
from pco_store.ledger import PageReceipt, check_fence, record_page
from pco_store.quarantine import Quarantined, put_quarantined
from tasks.interrupting import interrupt
from tasks.page_processing import PageProcessing, ProcessPage
from tasks.pages import PageRef
from tasks.part_walks import PartWalks
from tasks.replanning import replan
from tasks.retries import POISONOUS
from tasks.sync_context import SyncContext
from tasks.walk import PageReading, PageTurn


async def read_collection(walks: PartWalks, sync: SyncContext, *, processing: PageProcessing) -> None:
    """Read until `walks.is_finished`. The first error that is not one page's own fault ends it and is raised."""
    backlog: deque[PageRef] = deque()
    running: set[asyncio.Task[tuple[int, PageReading]]] = set()
    done: set[asyncio.Task[tuple[int, PageReading]]] = set()
    try:
        while True:
            if await replan(walks, sync, delays=processing.delays):
                backlog.clear()
            if walks.is_finished:
                return
            backlog.extend(_page(sync, number, turn) for number, turn in walks.ready())
            while backlog and len(running) < sync.in_flight:
                page = backlog.popleft()
                running.add(asyncio.create_task(_read(sync, page, processing), name=page.title))
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                walks.record(*finished.result())
    finally:
        await interrupt(*running, *done)  # of several that failed together one is raised, the others are seen here


def reading_of(receipt: PageReceipt) -> PageReading:
    """What a committed page told the walk."""
    return PageReading(
        offset=receipt.offset,
        size=receipt.page_size,
        reading=receipt.reading,
        rows=receipt.rows,
        next_offset=receipt.next_offset,
        total_count=receipt.total_count,
        reached=receipt.reached,
        seen_before=receipt.seen_before,
    )


def _page(sync: SyncContext, part: int, turn: PageTurn) -> PageRef:
    run = sync.run
    return PageRef(
        org_id=run.org_id,
        entity=sync.entity.name,
        scope=run.scope,
        epoch=run.epoch,
        token=run.token,
        offset=turn.offset,
        size=turn.size,
        reading=turn.reading,
        part=part,
    )


async def _read(sync: SyncContext, page: PageRef, processing: PageProcessing) -> tuple[int, PageReading]:
    try:
        return page.part, reading_of(PageReceipt(**await processing.whole(page)))
    except POISONOUS as error:
        return page.part, await _isolate(sync, page, error, processing.part)


async def _isolate(sync: SyncContext, page: PageRef, error: PcoError, process_part: ProcessPage) -> PageReading:
    """Halve a page that cannot be read until the bad record stands alone; quarantine its place, keep all others.

    An outage looks the same from one page, so the product itself is asked first; if it does not answer either, the
    error is raised, and the sync can be continued later.
    """
    await sync.client.fetch_document(f"/{sync.entity.product}/v2", api_version=sync.entity.api_version, lane=sync.lane)
    readings = await _halve(sync, page, error, process_part)
    total = min((one.total_count for one in readings if one.total_count is not None), default=None)
    end = page.offset + page.size
    whole = PageReading(
        offset=page.offset,
        size=page.size,
        reading=page.reading,
        rows=0,
        next_offset=end if total is None or total > end else None,
        total_count=total,
        reached=any(one.reached for one in readings),
        seen_before=sum(one.seen_before for one in readings),
    )
    if page.size == 1:
        return whole
    async with sync.database.transaction() as connection:
        await check_fence(connection, sync.run)
        await record_page(connection, sync.run, _receipt_of(page, whole), [])
    return whole


async def _halve(sync: SyncContext, page: PageRef, error: PcoError, process_part: ProcessPage) -> list[PageReading]:
    if page.size == 1:
        return [await _quarantine_place(sync, page, error)]
    half = page.size // 2
    parts = [
        replace(page, offset=page.offset + half, size=page.size - half),
        replace(page, size=half),
    ]
    readings: list[PageReading] = []
    for part in parts:
        try:
            readings.append(reading_of(PageReceipt(**await process_part(part))))
        except POISONOUS as part_error:
            readings.extend(await _halve(sync, part, part_error, process_part))
    return readings


async def _quarantine_place(sync: SyncContext, page: PageRef, error: PcoError) -> PageReading:
    """The record at this offset cannot be fetched at all; its place is kept, so that it can be replayed."""
    unknown_end = PageReading(
        offset=page.offset,
        size=1,
        reading=page.reading,
        rows=0,
        next_offset=None,
        total_count=None,
    )
    async with sync.database.transaction() as connection:
        await check_fence(connection, sync.run)
        await put_quarantined(
            connection,
            [
                Quarantined(
                    org_id=page.org_id,
                    entity=page.entity,
                    run_id=sync.run.run_id,
                    reading=page.reading,
                    offset=page.offset,
                    record_id=None,
                    reason=f"cannot be fetched: {error}",
                    raw=None,
                )
            ],
        )
        await record_page(connection, sync.run, replace(_receipt_of(page, unknown_end), quarantined=1), [])
    sync.counters.quarantined += 1
    return unknown_end


def _receipt_of(page: PageRef, reading: PageReading) -> PageReceipt:
    """A ledger entry that carries what the walk needs; rows and counts stand in the parts' own entries."""
    return PageReceipt(
        reading=reading.reading,
        offset=reading.offset,
        page_size=reading.size,
        rows=reading.rows,
        new=0,
        changed=0,
        unchanged=0,
        stale=0,
        misfits=0,
        quarantined=0,
        next_offset=reading.next_offset,
        total_count=reading.total_count,
        requests=0,
        waited_seconds=0.0,
        part=page.part,
        reached=reading.reached,
        seen_before=reading.seen_before,
    )
