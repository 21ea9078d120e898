"""sync_entity: mirror one entity of one church, exactly and durably."""

import time
from datetime import UTC, datetime
from functools import partial

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ConflictPolicy, EntityName, Epoch, OrgId, listed_entity
from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_store.ledger.leases import RunLease
from pco_store.ledger.openings import NotOpened
from pco_store.ledger.results import keep_deletions, keep_result
from pco_store.ledger.run_facts import RunFacts, facts_by_key, run_facts
from pco_store.ledger.runs import RunHandle, RunTotals, finish_run, run_totals
from pco_store.ledger.superseded import resolve_superseded
from pco_store.ledger.watermarks import advance_watermark
from pco_walks.window import Mode
from tasks.deletions.from_a_list import Deletions, ManyDeletions, find_deletions, many_deletions_of
from tasks.deletions.merges import follow_merges
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.pages.processing import as_tasks
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.patience import patiently
from tasks.reports.drift import tell_drift
from tasks.reports.outcomes import End, end_of, joined_name, state_of
from tasks.reports.progress import ProgressReport, shown
from tasks.reports.sync_summary import SyncSummary, publish_summary, summarize, summary_of
from tasks.run_names import own_run_name
from tasks.runs.holding import held
from tasks.runs.not_started import SyncRejectedError, message_of
from tasks.runs.opening import close_unfinished, current_flow_run_id, opened_run, run_request
from tasks.settings import read_settings
from tasks.tagging import tagged

__all__ = ["SyncRejectedError", "sync_entity"]


@flow_from_anywhere(
    name="sync-entity",
    flow_run_name=own_run_name,
    description="Mirror one entity of one church into Postgres, exactly and durably.",
    validate_parameters=True,
)
async def sync_entity(
    org_id: OrgId,
    entity: EntityName,
    epoch: Epoch | None = None,
    on_conflict: ConflictPolicy = "join",
    mode: Mode = "full",
    many_deletions: ManyDeletions = "stop",
) -> SyncSummary | State[SyncSummary]:
    """Mirror `entity` of `org_id`, once per epoch.

    What is running or completed under its key is not started again: `join` says so and is done, `reject` raises
    `SyncRejectedError`, `restart` closes that epoch and opens a new one. What was interrupted is continued.

    Args:
        org_id: Which church: the name of its credentials block, such as grace
        entity: What to mirror: product.Resource in PCO's spelling
        epoch: Which turn. Leave it out: an unfinished turn is continued, else a new one is opened
        on_conflict: If it runs or is done already: join says so, reject fails, restart begins anew
        mode: full reads everything and finds deletions, delta reads what changed since the last complete sync
        many_deletions: If more than 5 % of all records (and more than 50) are missing: stop marks none of them as
            deleted and says so, accept believes it once each of them is confirmed

    Raises the errors of settings, credentials, client and store; each says what was observed and what to do.
    """
    settings = read_settings()
    described = listed_entity(entity)
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        request = await run_request(
            resources,
            org_id=org_id,
            entity=described,
            read_entity=described,
            scope="",
            epoch=epoch,
            on_conflict=on_conflict,
            mode=mode,
            plan={"many_deletions": many_deletions},
        )
        opened, lease = await opened_run(resources, request)
        if isinstance(opened, NotOpened):
            return await _not_started(resources, opened, on_conflict)
        assert lease is not None
        async with held(lease):
            return await _run(resources, client, described, lease, continued=opened.continued)


async def _run(
    resources: Resources,
    client: PcoClient,
    entity: Entity,
    lease: RunLease,
    *,
    continued: bool,
) -> SyncSummary | State[SyncSummary]:
    """Walk the collection under the lease, and close the run in the ledger whatever happens."""
    logger = get_run_logger()
    run = lease.run
    started = time.monotonic()
    assert entity.list_path is not None, "parameters admit listed entities only"
    try:
        sync, walks = await begin_walk(
            resources,
            client,
            run,
            entity,
            path=entity.list_path,
            in_flight=resources.settings.pages_in_flight,
            is_new=not continued,
        )
        logger.info(
            "%s is %s, %d pages are done already", run.key, "continued" if continued else "opened", len(sync.committed)
        )
        report = ProgressReport(
            sync=sync, walks=walks, redis=resources.redis, flow_run_id=current_flow_run_id() or "", started=started
        )
        async with shown(report), tagged(run.org_id, run.entity):
            await finish_walk(walks, sync, await as_tasks(resources))
            deletions = Deletions()
            merged = await follow_merges(resources, run)
            if run.mode == "full":
                deletions = await find_deletions(resources, sync, many=many_deletions_of(run))
            if sync.counters.corrected_until is not None and run.window.until is not None:
                resources.learn_pco_clock(sync.counters.corrected_until - run.window.until)

            async def complete(connection: AsyncConnection) -> tuple[SyncSummary, End]:
                totals, facts = await _complete(connection, sync.settled_run, deletions)
                summary = summarize(
                    sync,
                    totals,
                    deletions,
                    facts,
                    merged=merged,
                    continued=continued,
                    seconds=time.monotonic() - started,
                    finished_at=datetime.now(UTC),
                )
                await keep_result(connection, run, summary.model_dump(mode="json"))
                return summary, end_of(facts)

            summary, end = await patiently(resources, complete)  # the ledger first: Prefect may be away
    except BaseException as error:
        await close_unfinished(resources.database, run, error)
        raise
    await publish_summary(summary)
    logger.info("%s is complete: %s", run.key, summary.told)
    tell_drift(sync.counters, entity)
    return summary if end.name is None else state_of(end, end.reason, summary)


async def _complete(connection: AsyncConnection, run: RunHandle, deletions: Deletions) -> tuple[RunTotals, RunFacts]:
    totals = await run_totals(connection, run)
    await advance_watermark(connection, run)
    await finish_run(connection, run, "completed")
    if run.mode == "full":
        await keep_deletions(
            connection, run, verdict=deletions.verdict, missing=deletions.missing, deleted=deletions.deleted
        )
        await resolve_superseded(connection, run, entity=run.entity)
    return totals, await run_facts(connection, run.run_id)


async def _not_started(resources: Resources, opened: NotOpened, on_conflict: ConflictPolicy) -> State[SyncSummary]:
    """Nothing is read; what the other run has left for a person is shown by the state, too."""
    message = message_of(opened, on_conflict)
    facts = await patiently(resources, partial(facts_by_key, key=opened.key))
    assert facts is not None, "it was found a moment ago"
    if opened.why == "running":
        return Completed(name="AlreadyRunning", message=message, data=summary_of(facts, joined=True)[0])
    summary, end = summary_of(facts, joined=True)
    told = f"{message}; {end.reason}" if end.reason else message
    return Completed(name=joined_name(end), message=told, data=summary)
