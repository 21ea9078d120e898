"""Reads a whole collection: keeps pages in flight until the walk has its proof."""

import asyncio
from collections import deque

from pco_store.ledger.runs import PageReceipt
from pco_walks.part_walks import PartWalks
from pco_walks.walk import PageReading, PageToRead
from tasks.background import interrupt
from tasks.pages.apply_page import reading_of
from tasks.pages.isolation import isolate, read_in_parts
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing
from tasks.pages.replanning import replan
from tasks.pages.sync_context import SyncContext
from tasks.retries import POISONOUS


async def read_collection(walks: PartWalks, sync: SyncContext, *, processing: PageProcessing) -> None:
    """Read until `walks.is_finished`. The first error that is not one page's own fault ends it and is raised."""
    backlog: deque[PageRef] = deque()
    running: set[asyncio.Task[tuple[int, PageReading]]] = set()
    done: set[asyncio.Task[tuple[int, PageReading]]] = set()
    try:
        while True:
            if await replan(walks, sync):
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


def _page(sync: SyncContext, part: int, turn: PageToRead) -> PageRef:
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
        whole=turn.whole,
        include=(*sync.included, *sync.naming),
    )


async def _read(sync: SyncContext, page: PageRef, processing: PageProcessing) -> tuple[int, PageReading]:
    most = sync.evidence.most_at_a_time
    if most is not None and page.size > most:
        return page.part, await read_in_parts(sync, page, most, processing.part)
    try:
        return page.part, reading_of(PageReceipt(**await processing.whole(page)))
    except POISONOUS as error:
        return page.part, await isolate(sync, page, error, processing.part)
