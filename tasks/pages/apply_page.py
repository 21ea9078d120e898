"""process_page: fetch a page, transform it, and commit its rows, links and checkpoint in one transaction."""

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from pco_client.documents import Page
from pco_client.sansio import PageRequest
from pco_store.ledger.children import insert_children
from pco_store.ledger.members import note_unnamed
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.quarantine import Quarantined, put_quarantined, resolve_read_again
from pco_store.ledger.runs import PageReceipt, page_receipt
from pco_walks.walk import PageReading
from tasks.pages.companions import take_companions
from tasks.pages.page_ref import PageRef
from tasks.pages.sync_context import SyncContext, current_sync
from tasks.retries import JITTER, is_worth_a_retry
from tasks.rows.sideloaded import names_all
from tasks.rows.transform import TransformedPage, transform_page

PROCESS_PAGE: Final = "process-page"
NEWEST_FIRST: Final = "-updated_at"


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
    retry_condition_fn=is_worth_a_retry,
    retry_jitter_factor=JITTER,
    log_prints=False,
)
async def process_page(page: PageRef) -> dict[str, Any]:
    """Apply one page exactly once, as a task of the current sync, and return its receipt (`PageReceipt` as a dict).

    Raises what `apply_page` raises; `tasks.retries` decides what is tried again.
    """
    return asdict(await apply_page(current_sync(), page, attempt=_attempt()))


async def apply_page(sync: SyncContext, page: PageRef, *, attempt: int) -> PageReceipt:
    """Fetch a page; commit its rows, what comes with them, its children, quarantine and checkpoint in one transaction.

    A page that the ledger holds is not fetched again. Raises the client's errors, `LeaseLost` when another execution
    has taken over, and the store's errors.
    """
    committed = await _committed(sync, page, attempt)
    if committed is not None:
        return committed
    fetched = await sync.client.fetch_page(page_request(sync, page), expected_type=sync.entity.resource, lane=sync.lane)
    observed_at = fetched.sent_at + sync.clock_offset
    brought = []
    if sync.included:
        brought = await take_companions(sync, fetched, page, observed_at=observed_at, request=page_request)
    transformed = transform_page(
        fetched.page.records,
        entity=sync.entity,
        org_id=page.org_id,
        epoch=page.epoch,
        observed_at=observed_at,
        parents=sync.parents,
    )
    if sync.counters.answered_at is None:
        sync.counters.answered_at = fetched.page.answered_at
        sync.counters.answered_after = datetime.now(UTC) + sync.clock_offset - sync.run.started_at
    sync.counters.unknown_attributes |= transformed.unknown_attributes
    _check_answer(sync, page, fetched.page, transformed)
    sync.counters.note(fetched.page, asked_version=sync.entity.api_version, included=bool(page.include))
    unnamed = sum(not names_all(record, sync.naming) for record in fetched.page.records) if sync.naming else 0
    sync.counters.unnamed += unnamed
    if fetched.page.next_offset is not None:
        sync.counters.alike.note(part=page.part, offset=page.offset, ids=transformed.ids)
    quarantined = _quarantined(sync, page, transformed, observed_at)
    children = sync.spawn.children_of(transformed.ids) if sync.spawn is not None and transformed.ids else None
    receipt = PageReceipt(
        reading=page.reading,
        offset=page.offset,
        page_size=page.size,
        rows=len(fetched.page.records),
        new=0,
        changed=0,
        unchanged=0,
        stale=0,
        misfits=transformed.misfits,
        quarantined=len(quarantined),
        next_offset=fetched.page.next_offset,
        total_count=fetched.page.total_count,
        requests=fetched.requests,
        waited_seconds=fetched.waited_seconds,
        part=page.part,
        **_place_in_order(sync, page, transformed),
    )
    put_aside = [*quarantined, *(item for one in brought for item in one.quarantined)]
    is_read_again = page.reading > 1 and (sync.has_quarantined or bool(sync.companions))
    # The page and what comes with it is one statement; with what else comes of it, it is a transaction of several.
    is_alone = not (put_aside or children or is_read_again or unnamed)
    completes_run = sync.on_completing is not None and _is_whole_list(sync, page, receipt)
    with sync.completing(completes_run):
        async with sync.database.statement() if is_alone else sync.database.transaction() as connection:
            if unnamed:
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
            await put_quarantined(connection, put_aside)
            if children is not None:
                await insert_children(connection, children)
            receipt = await commit_page(
                connection,
                PageOfRows(run=sync.run, table=sync.table, rows=transformed.rows, receipt=receipt, ids=transformed.ids),
                [one.with_page(receipt) for one in brought],
                completes_run=completes_run,
                shared=None if sync.shared is None else (sync.shared, observed_at),
            )
    if page.whole or (sync.windows[page.part].is_newest_first and (page.offset == 0 or receipt.seen_before)):
        sync.seen.setdefault(page.part, set()).update(transformed.ids)
    sync.counters.pages += 1
    sync.counters.rows += receipt.rows
    sync.counters.quarantined += len(put_aside)
    sync.counters.waited_seconds += receipt.waited_seconds
    return receipt


def page_request(sync: SyncContext, page: PageRef) -> PageRequest:
    """What to ask PCO for. By id, PCO's default order, a record never changes its place while it lives."""
    window = sync.windows[page.part]
    return PageRequest(
        path=sync.path,
        api_version=sync.entity.api_version,
        offset=page.offset,
        per_page=page.size,
        where=() if page.whole else window.where(),
        order=NEWEST_FIRST if window.is_newest_first else None,
        include=page.include,
    )


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


def _check_answer(sync: SyncContext, page: PageRef, answered: Page, transformed: TransformedPage) -> None:
    """PCO ignores a filter or an order that it does not know, with 200 and the whole collection.

    What it answered is stored all the same; whoever keeps the walks then takes another one that needs neither.
    """
    window = sync.windows[page.part]
    if window.is_newest_first:
        times = _times(transformed)
        known = answered.can_order_by is None or "updated_at" in answered.can_order_by
        sync.counters.order_ignored |= not known or times != sorted(times, reverse=True)
    elif window.attribute is not None:
        known = answered.can_query_by is None or window.attributes <= answered.can_query_by
        is_outside = not page.whole and not all(window.holds(row) for row in transformed.rows)
        sync.counters.window_ignored |= not known or is_outside


def _place_in_order(sync: SyncContext, page: PageRef, transformed: TransformedPage) -> dict[str, Any]:
    """What a walk has to know of its page: of what it shows, what did proven or opening pages show before?"""
    window = sync.windows[page.part]
    seen = sync.seen.setdefault(page.part, set())
    if window.is_all_until and page.offset > 0 and not page.whole:
        return {"seen_before": len(seen.intersection(transformed.ids))}
    if not window.is_newest_first or window.since is None:
        return {}
    return {
        "reached": any(at < window.since for at in _times(transformed)),
        "seen_before": len(seen.intersection(transformed.ids)),
    }


def _times(transformed: TransformedPage) -> list[datetime]:
    times = (row.get("updated_at") for row in transformed.rows)
    return [at for at in times if isinstance(at, datetime)]


async def _committed(sync: SyncContext, page: PageRef, attempt: int) -> PageReceipt | None:
    """The receipt of this page, if an earlier execution or an earlier attempt committed it.

    What earlier executions committed was read once at the start, and nobody else can commit while we hold the fence.
    Only an attempt whose commit went through although its answer never reached us has to be looked up.
    """
    known = sync.committed.get(page.place)
    if known is not None or attempt == 1:
        return known
    sync.counters.retries += 1
    async with sync.database.transaction() as connection:
        return await page_receipt(
            connection,
            sync.run,
            part=page.part,
            reading=page.reading,
            offset=page.offset,
            page_size=page.size,
        )


def _quarantined(
    sync: SyncContext, page: PageRef, transformed: TransformedPage, observed_at: datetime
) -> list[Quarantined]:
    return [
        Quarantined(
            org_id=page.org_id,
            entity=page.entity,
            run_id=sync.run.run_id,
            reading=page.reading,
            offset=page.offset + rejected.place,
            record_id=rejected.record_id,
            reason=rejected.reason,
            raw=rejected.raw,
            observed_at=observed_at,
            part=page.part,
        )
        for rejected in transformed.rejected
    ]


def _attempt() -> int:
    context = TaskRunContext.get()
    return context.task_run.run_count if context else 1
