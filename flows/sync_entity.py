"""sync_entity: mirror one entity of one church, exactly and durably."""

import asyncio
import os
import socket
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TagsContext
from prefect.logging import get_run_logger
from prefect.states import Completed
from prefect.utilities.urls import url_for

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ConflictPolicy, EntityName, Epoch, OrgId, listed_entity
from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_store.errors import LeaseLost, StoreUnavailable
from pco_store.leases import RunLease, open_run
from pco_store.ledger import FinalState, RunWindow, committed_pages, finish_run, run_totals
from pco_store.migrate import check_schema
from pco_store.openings import NotOpened, RunRequest
from pco_store.tables import mirror_table
from pco_store.watermarks import advance_watermark, read_watermark
from tasks.collection import read_collection, reading_of
from tasks.holding import held
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.pages import process_page
from tasks.progress import ProgressReport, shown
from tasks.receipts import receipt_storage
from tasks.retries import PART_DELAYS, retry_delays
from tasks.settings import read_settings
from tasks.summary import SyncSummary, publish_summary, summarize
from tasks.sync_context import SyncContext, entered
from tasks.walk import Walk
from tasks.window import Mode, Window, choose_window


class SyncRejectedError(Exception):
    """The sync is running or completed already, and the caller asked to be told so by an error."""


@flow_from_anywhere(
    name="sync-entity",
    flow_run_name="{entity} org={org_id}",
    description="Mirror one entity of one church into Postgres, exactly and durably.",
    validate_parameters=True,
)
async def sync_entity(
    org_id: OrgId,
    entity: EntityName,
    epoch: Epoch | None = None,
    on_conflict: ConflictPolicy = "join",
    mode: Mode = "full",
) -> SyncSummary | State[SyncSummary]:
    """Mirror `entity` of `org_id`, once per epoch.

    What is running or completed under its key is not started again: `join` says so and is done, `reject` raises
    `SyncRejectedError`, `restart` closes that epoch and opens a new one. What was interrupted is continued.

    Raises the errors of settings, credentials, client and store; each says what was observed and what to do.
    """
    settings = read_settings()
    described = listed_entity(entity)
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        request = await _request(resources, described, org_id, epoch, on_conflict, mode)
        opened, lease = await open_run(resources.database, request)
        if isinstance(opened, NotOpened):
            return _not_started(opened, request)
        assert lease is not None
        async with held(lease):
            return await _run(
                resources, client, described, lease, continued=opened.continued, flow_run_id=request.flow_run_id
            )


async def _request(
    resources: Resources, entity: Entity, org_id: str, epoch: str | None, on_conflict: ConflictPolicy, mode: Mode
) -> RunRequest:
    """What to ask the ledger for; the window ends now, on the database's clock."""
    async with resources.database.transaction() as connection:
        await check_schema(connection)
        known = await read_watermark(connection, org_id=org_id, entity=entity.name)
    window = choose_window(entity, mode=mode, until=known.now, watermark=known.watermark)
    context = FlowRunContext.get()
    flow_run = context.flow_run if context else None
    return RunRequest(
        org_id=org_id,
        entity=entity.name,
        epoch=epoch,
        mode=mode,
        on_conflict=on_conflict,
        window=RunWindow(attribute=window.attribute, since=window.since, until=window.until),
        page_size=resources.settings.page_size,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        flow_run_id=str(flow_run.id) if flow_run else None,
        lease_seconds=resources.settings.lease_seconds,
    )


async def _run(
    resources: Resources,
    client: PcoClient,
    entity: Entity,
    lease: RunLease,
    *,
    continued: bool,
    flow_run_id: str | None,
) -> SyncSummary | State[SyncSummary]:
    """Walk the collection under the lease, and close the run in the ledger whatever happens."""
    logger = get_run_logger()
    run = lease.run
    started = time.monotonic()
    async with resources.database.transaction() as connection:
        committed = await committed_pages(connection, run)
    window = Window(attribute=run.window.attribute, since=run.window.since, until=run.window.until)
    sync = SyncContext(
        run=run,
        entity=entity,
        table=mirror_table(entity),
        window=window,
        client=client,
        database=resources.database,
        committed={(one.reading, one.offset, one.page_size): one for one in committed},
    )
    walk = Walk(page_size=run.page_size, bounded=window.is_bounded)
    taken = walk.replay(reading_of(receipt) for receipt in committed)
    logger.info("%s is %s, %d pages are done already", run.key, "continued" if continued else "opened", taken)
    report = ProgressReport(
        sync=sync,
        walk=walk,
        redis=resources.redis,
        flow_run_id=flow_run_id or "",
        began_with_pages=len(committed),
        began_with_rows=sum(receipt.rows for receipt in committed),
        started=started,
    )
    try:
        async with shown(report), _tagged(run.org_id, run.entity):
            with entered(sync), TagsContext(current_tags=set()):
                await _read(resources, walk, sync)
        async with resources.database.transaction() as connection:
            totals = await run_totals(connection, run)
            await advance_watermark(connection, run)
            await finish_run(connection, run, "completed")
    except BaseException as error:
        await _close(resources, sync, error)
        raise
    summary = summarize(
        sync, totals, continued=continued, seconds=time.monotonic() - started, finished_at=datetime.now(UTC)
    )
    await publish_summary(summary)
    logger.info(
        "%s is complete: %d records in %d pages, %d new, %d changed, %d unchanged, %d quarantined",
        run.key,
        summary.records,
        summary.pages,
        summary.new,
        summary.changed,
        summary.unchanged,
        summary.quarantined,
    )
    if summary.unknown_attributes:
        logger.warning("attributes the catalogue does not know, kept in extra: %s", summary.unknown_attributes)
    if summary.quarantined:
        message = f"{summary.quarantined} records are in quarantine, in the table sync.quarantine"
        return Completed(name="CompletedWithQuarantine", message=message, data=summary)
    return summary


async def _read(resources: Resources, walk: Walk, sync: SyncContext) -> None:
    settings = resources.settings
    storage = await receipt_storage(settings.redis_url)
    delays = retry_delays(first=settings.retry_first_seconds, total=settings.retry_total_seconds)
    configure = partial(process_page.with_options, result_storage=storage)
    try:
        await read_collection(
            walk,
            sync,
            process=configure(retries=len(delays), retry_delay_seconds=delays),
            process_part=configure(retries=len(PART_DELAYS), retry_delay_seconds=PART_DELAYS),
            in_flight=settings.pages_in_flight,
        )
    finally:
        await storage.aclose()


async def _close(resources: Resources, sync: SyncContext, error: BaseException) -> None:
    """Tell the ledger that nobody works on the run any more, so that the next start continues it at once."""
    state: FinalState = "failed" if isinstance(error, Exception) else "cancelled"
    reason = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else type(error).__name__
    try:
        async with resources.database.transaction() as connection:
            await finish_run(connection, sync.run, state, error=reason[:2000])
    except (LeaseLost, StoreUnavailable) as unsaid:
        get_run_logger().warning("the ledger was not told that %s ended: %s", sync.run.key, unsaid)


def _not_started(opened: NotOpened, request: RunRequest) -> State[SyncSummary]:
    link = url_for("flow-run", opened.flow_run_id) if opened.flow_run_id else None
    told = f"{opened.key} is {opened.why}" + (f": {link}" if link else f" ({opened.owner})")
    if request.on_conflict == "reject":
        raise SyncRejectedError(f"{told}; on_conflict is 'reject'")
    summary = SyncSummary(
        outcome="already_running" if opened.why == "running" else "already_completed",
        key=opened.key,
        org_id=request.org_id,
        entity=request.entity,
        epoch=opened.epoch,
    )
    name = "AlreadyRunning" if opened.why == "running" else "AlreadyCompleted"
    return Completed(name=name, message=f"not started again: {told}", data=summary)


class _tagged:  # noqa: N801 - reads as a word in `async with`
    """Tags the flow run by org and entity, in the background: the sync does not wait for the server."""

    def __init__(self, org_id: str, entity: str) -> None:
        self._tags = [f"org:{org_id}", f"entity:{entity}"]
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            tags = sorted({*context.flow_run.tags, *self._tags})
            self._task = asyncio.create_task(self._tag(context.flow_run.id, tags))

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    @staticmethod
    async def _tag(flow_run_id: Any, tags: list[str]) -> None:
        async with get_client() as client:
            await client.update_flow_run(flow_run_id, tags=tags)
