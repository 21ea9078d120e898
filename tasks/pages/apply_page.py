"""process_page: fetch a page, transform it, and commit its rows, links and checkpoint in one transaction."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from pco_client.client import FetchedPage
from pco_store.ledger.fan_out.children import insert_children
from pco_store.ledger.members import note_unnamed
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.quarantine.items import Quarantined, put_quarantined, resolve_read_again
from pco_store.ledger.runs import PageReceipt, page_receipt
from pco_walks.walk import PageReading
from tasks.pages.companions import Brought, take_companions
from tasks.pages.evidence import times_of
from tasks.pages.page_ref import PageRef
from tasks.pages.quarantining import as_quarantined
from tasks.pages.sync_context import SyncContext, current_sync
from tasks.retries import JITTER
from tasks.rows.sideloaded import names_all
from tasks.rows.transform import TransformedPage, transform_page

PROCESS_PAGE: Final = "process-page"


def _cache_key(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    page: PageRef = parameters["page"]
    return page.cache_key


class _NoMoreThanTheState(logging.Filter):
    """Drops "Finished in state Completed()" of page tasks: thousands of lines a sync, which the states say as well."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (
            record.levelno == logging.INFO
            and getattr(record, "task_name", None) == PROCESS_PAGE
            and str(record.msg).startswith("Finished in state")
        )


logging.getLogger("prefect.task_runs").addFilter(_NoMoreThanTheState())


@task(
    name=PROCESS_PAGE,
    task_run_name="{page.title}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_cache_key),
    persist_result=True,
    result_serializer=JSONSerializer(),  # by its name it would be looked up again for every page
    retry_jitter_factor=JITTER,
    log_prints=False,
)
async def process_page(page: PageRef) -> dict[str, Any]:
    """Apply one page exactly once, as a task of the current sync, and return its receipt (`PageReceipt` as a dict).

    Raises what `apply_page` raises; `tasks.retries` decides what is tried again.
    """
    return asdict(await apply_page(current_sync(), page, attempt=_attempt()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """A page as it is to be committed: the rows that it has `shown`, and what was `brought` with them.

    `unnamed` records did not name what was included for that.
    """

    fetched: FetchedPage
    observed_at: datetime
    shown: TransformedPage
    brought: list[Brought]
    quarantined: list[Quarantined]
    unnamed: int


async def apply_page(sync: SyncContext, page: PageRef, *, attempt: int) -> PageReceipt:
    """Fetch a page; commit its rows, what comes with them, its children, quarantine and checkpoint in one transaction.

    A page that the ledger holds is not fetched again. Raises the client's errors, `LeaseLost` when another execution
    has taken over, and the store's errors.
    """
    committed = await _committed(sync, page, attempt)
    if committed is not None:
        return committed
    async with AsyncExitStack() as until_committed:

        async def in_turn() -> None:
            await until_committed.enter_async_context(sync.large_pages)

        read = await _read(sync, page, on_large=in_turn)
        _note(sync, page, read)
        receipt = await _commit(sync, page, read)
    _count(sync, page, read, receipt)
    return receipt


async def _read(sync: SyncContext, page: PageRef, *, on_large: Callable[[], Awaitable[None]]) -> _Read:
    fetched = await sync.fetch(page, on_large=on_large)
    observed_at = fetched.sent_at + sync.clock_offset
    brought = []
    if sync.included:
        brought = await take_companions(sync, fetched, page, observed_at=observed_at)
    shown = transform_page(
        fetched.page.records,
        entity=sync.entity,
        org_id=page.org_id,
        epoch=page.epoch,
        observed_at=observed_at,
        parents=sync.parents,
    )
    return _Read(
        fetched=fetched,
        observed_at=observed_at,
        shown=shown,
        brought=brought,
        quarantined=[
            *(
                as_quarantined(
                    one,
                    run=sync.run,
                    entity=page.entity,
                    page=page,
                    offset=page.offset + one.place,
                    observed_at=observed_at,
                )
                for one in shown.rejected
            ),
            *(item for one in brought for item in one.quarantined),
        ],
        unnamed=sum(not names_all(record, sync.naming) for record in fetched.page.records) if sync.naming else 0,
    )


def _note(sync: SyncContext, page: PageRef, read: _Read) -> None:
    """What the answer shows of Planning Center itself. Raises `EndlessListError`."""
    answered, window = read.fetched.page, sync.windows[page.part]
    after = datetime.now(UTC) + sync.clock_offset - sync.run.started_at
    sync.evidence.note(answered, read.shown, window, whole=page.whole, after=after)
    sync.drift.note(answered, read.shown, asked_version=sync.entity.api_version, included=bool(page.include))
    sync.drift.unnamed += read.unnamed
    if answered.next_offset is not None:
        sync.evidence.alike.note(part=page.part, offset=page.offset, ids=read.shown.ids)


async def _commit(sync: SyncContext, page: PageRef, read: _Read) -> PageReceipt:
    receipt = _receipt_of(sync, page, read)
    children = sync.spawn.children_of(read.shown.ids) if sync.spawn is not None and read.shown.ids else None
    is_read_again = page.reading > 1 and (sync.has_quarantined or bool(sync.companions))
    # The page and what comes with it is one statement; with what else comes of it, it is a transaction of several.
    is_alone = not (read.quarantined or children or is_read_again or read.unnamed)
    completes_run = sync.on_completing is not None and _is_whole_list(sync, page, receipt)
    with sync.completing(completes_run):
        async with sync.database.statement() if is_alone else sync.database.transaction() as connection:
            if read.unnamed:
                await note_unnamed(connection, sync.run, sync.naming)
            if is_read_again:
                for run in (sync.run, *(one.run for one in sync.companions.values())):
                    await resolve_read_again(
                        connection,
                        run.run_id,
                        part=page.part,
                        reading=page.reading,
                        offset=page.offset,
                        size=page.size,
                    )
            await put_quarantined(connection, read.quarantined)
            if children is not None:
                await insert_children(connection, children)
            rows = PageOfRows(run=sync.run, table=sync.table, rows=read.shown.rows, receipt=receipt, ids=read.shown.ids)
            return await commit_page(
                connection,
                rows,
                [one.with_page(receipt) for one in read.brought],
                completes_run=completes_run,
                shared=None if sync.shared is None else (sync.shared, read.observed_at),
            )


def _receipt_of(sync: SyncContext, page: PageRef, read: _Read) -> PageReceipt:
    """As far as it is known before the mirror has taken the rows."""
    answered = read.fetched.page
    return PageReceipt(
        reading=page.reading,
        offset=page.offset,
        page_size=page.size,
        rows=len(answered.records),
        misfits=read.shown.misfits,
        quarantined=len(read.shown.rejected),
        next_offset=answered.next_offset,
        total_count=answered.total_count,
        requests=read.fetched.requests,
        waited_seconds=read.fetched.waited_seconds,
        part=page.part,
        **_place_in_order(sync, page, read.shown),
    )


def _count(sync: SyncContext, page: PageRef, read: _Read, receipt: PageReceipt) -> None:
    if page.whole or (sync.windows[page.part].is_newest_first and (page.offset == 0 or receipt.seen_before)):
        sync.seen.setdefault(page.part, set()).update(read.shown.ids)
    sync.tally.pages += 1
    sync.tally.rows += receipt.rows
    sync.tally.quarantined += len(read.quarantined)
    sync.tally.waited_seconds += receipt.waited_seconds


def _is_whole_list(sync: SyncContext, page: PageRef, receipt: PageReceipt) -> bool:
    """The first reading of the first page, and no page after it: the walk is finished (`Walk.record`)."""
    is_first = (page.part, page.reading, page.offset, page.size) == (0, 1, 0, sync.run.page_size)
    return is_first and reading_of(receipt).is_whole_list


def reading_of(receipt: PageReceipt) -> PageReading:
    """What a committed page showed the walk."""
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


def _place_in_order(sync: SyncContext, page: PageRef, shown: TransformedPage) -> dict[str, Any]:
    """What a walk has to know of its page: of what it shows, what did proven or opening pages show before?"""
    window = sync.windows[page.part]
    seen = sync.seen.setdefault(page.part, set())
    if window.is_all_until and page.offset > 0 and not page.whole:
        return {"seen_before": len(seen.intersection(shown.ids))}
    if not window.is_newest_first or window.since is None:
        return {}
    return {
        "reached": any(at < window.since for at in times_of(shown)),
        "seen_before": len(seen.intersection(shown.ids)),
    }


async def _committed(sync: SyncContext, page: PageRef, attempt: int) -> PageReceipt | None:
    """The receipt of this page, if an earlier execution or an earlier attempt committed it.

    What earlier executions committed was read once at the start, and nobody else can commit while we hold the fence.
    Only an attempt whose commit went through although its answer never reached us has to be looked up.
    """
    known = sync.committed.get(page.place)
    if known is not None or attempt == 1:
        return known
    sync.tally.retries += 1
    async with sync.database.transaction() as connection:
        return await page_receipt(
            connection,
            sync.run,
            part=page.part,
            reading=page.reading,
            offset=page.offset,
            page_size=page.size,
        )


def _attempt() -> int:
    context = TaskRunContext.get()
    return context.task_run.run_count if context else 1
