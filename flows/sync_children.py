"""sync_children: mirror an entity that is listed per parent, by a child flow run for each parent."""

import asyncio
import time
from typing import Annotated

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed
from pydantic import Field

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import Below, ChildEntityName, ConflictPolicy, Epoch, OrgId, child_chain
from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Chain
from pco_client.client import PcoClient
from pco_store.fan_outs import FanOutCounts, await_children, cancel_fan_out, count_children, find_fan_out
from pco_store.leases import RunLease
from pco_store.ledger import FanOutPlan, RunHandle
from pco_store.openings import FAN_OUT_SCOPE, NotOpened
from tasks.child_flow_runs import fan_out_tag
from tasks.conflicts import message_of, name_of
from tasks.deletions import Deletions, ManyDeletions, many_deletions_of
from tasks.deletions_below import find_deletions_below
from tasks.drift import tell_drift
from tasks.fan_out_summary import FanOutSummary, publish_fan_out, summarize_fan_out
from tasks.holding import held
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.page_processing import as_tasks
from tasks.patience import patiently
from tasks.progress import ProgressReport, shown
from tasks.run_opening import close_unfinished, current_flow_run_id, opened_run, run_request, run_window
from tasks.run_walk import begin_walk, finish_walk
from tasks.settings import read_settings
from tasks.spreading import keep_submitting, wait_for_children
from tasks.stopping import is_stopped_by_person
from tasks.submitting import check_children_can_run, top_up
from tasks.sync_context import Spawn
from tasks.tagging import tagged

GroupsPerRun = Annotated[
    int, Field(ge=1, le=500, description="Parents that one child flow run reads. 1: a flow run for each of them")
]
MostUnderWay = Annotated[
    int, Field(ge=1, le=50_000, description="Children that may be submitted and unfinished at a time")
]


@flow_from_anywhere(
    name="sync-children",
    flow_run_name="{entity} of every parent org={org_id}",
    description="Mirror an entity that Planning Center lists per parent: a durable child flow run for each parent.",
    validate_parameters=True,
)
async def sync_children(
    org_id: OrgId,
    entity: ChildEntityName,
    epoch: Epoch | None = None,
    below: Below | None = None,
    on_conflict: ConflictPolicy = "join",
    groups_per_run: GroupsPerRun = 1,
    most_under_way: MostUnderWay = 200,
    many_deletions: ManyDeletions = "stop",
    wait: bool = False,
) -> State[FanOutSummary]:
    """Read all parents, and have `entity` read below each of them by child flow runs, once per parent and epoch.

    `below` names the parents, outermost first (`["groups.Group", "groups.Event"]`); left out, the shortest way. The
    children are written down with the page that shows their parent, so none is lost; they are submitted as runs of the
    child deployment, never more than `most_under_way` unfinished, and each one that ends makes room for the next.
    Without `wait` the flow ends when all parents are read; with it, when all children are done and what was deleted in
    PCO has its tombstone. `many_deletions`: if more than 5 % of all records (and more than 50) are missing, `stop`
    marks none of them as deleted and says so, `accept` believes it once each of them is confirmed.

    Raises `NotDeployedError` before anything is done, `SyncRejectedError`, and the errors of settings, credentials,
    client and store.
    """
    settings = read_settings()
    chain = child_chain(entity, below)
    obstacle = await check_children_can_run(settings.child_deployment)
    if obstacle:
        get_run_logger().warning(obstacle)
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        plan = FanOutPlan(
            below=tuple(chain.names),
            groups_per_run=groups_per_run,
            most_under_way=most_under_way,
            many_deletions=many_deletions,
        )
        request = await run_request(
            resources,
            org_id=org_id,
            entity=load_catalog().entity(entity),
            read_entity=chain.root,
            scope=FAN_OUT_SCOPE,
            epoch=epoch,
            on_conflict=on_conflict,
            mode="full",
            fan_out=plan,
        )
        started = time.monotonic()
        opened, lease = await opened_run(resources, request)
        if isinstance(opened, NotOpened):
            return await _join(resources, client, opened, on_conflict, wait=wait, started=started)
        assert lease is not None
        run = lease.run
        assert run.fan_out is not None
        async with tagged(org_id, entity, fan_out_tag(run.run_id)):
            async with held(lease):
                submitted = await _spread(resources, client, child_chain(entity, run.fan_out.below), lease)
            submitted += await top_up(resources, run)
            return await _end(resources, client, run, wait=wait, submitted=submitted, started=started)


async def _spread(resources: Resources, client: PcoClient, chain: Chain, lease: RunLease) -> int:
    """Walk the parents under the lease; their children are submitted meanwhile. How many flow runs that were."""
    run, first = lease.run, chain.levels[0]
    path = chain.root.list_path
    assert path is not None, "a chain begins at top level"
    window = run_window(first.entity, mode="full", until=run.started_at, watermark=None)
    try:
        sync, walks = await begin_walk(
            resources,
            client,
            run,
            chain.root,
            path=path,
            in_flight=resources.settings.pages_in_flight,
            spawn=Spawn(root=run, level=first, window=window, parent_scope=""),
        )
        get_run_logger().info("%s: %d pages of %s are read already", run.key, len(sync.committed), chain.root.name)
        report = ProgressReport(
            sync=sync,
            walks=walks,
            redis=resources.redis,
            flow_run_id=current_flow_run_id() or "",
            started=time.monotonic(),
        )
        async with shown(report), keep_submitting(resources, run) as submitted:
            await finish_walk(walks, sync, await as_tasks(resources))
            await patiently(resources, lambda connection: await_children(connection, run))  # Prefect may be away
    except BaseException as error:
        await close_unfinished(resources.database, run, error)
        raise
    tell_drift(sync.counters, chain.root)
    return submitted.count


async def _end(
    resources: Resources, client: PcoClient, run: RunHandle, *, wait: bool, submitted: int, started: float
) -> State[FanOutSummary]:
    counts = await _waited(resources, run) if wait else await _counted(resources, run)
    deletions = await _settled(resources, client, run, counts)
    summary = summarize_fan_out(
        counts,
        deletions,
        outcome="completed" if counts.is_over else "spreading",
        key=run.key,
        org_id=run.org_id,
        entity=run.entity,
        epoch=run.epoch,
        submitted_here=submitted,
        seconds=time.monotonic() - started,
    )
    await publish_fan_out(summary, run.run_id)
    return _state(summary, deletions)


async def _waited(resources: Resources, run: RunHandle) -> FanOutCounts:
    try:
        return await wait_for_children(resources, run)
    except BaseException:
        if FlowRunContext.get() is not None and await asyncio.shield(is_stopped_by_person()):
            async with resources.database.transaction() as connection:
                await cancel_fan_out(connection, run.run_id)
        raise


async def _counted(resources: Resources, run: RunHandle) -> FanOutCounts:
    async with resources.database.transaction() as connection:
        return await count_children(connection, run.run_id)


async def _settled(resources: Resources, client: PcoClient, run: RunHandle, counts: FanOutCounts) -> Deletions | None:
    """What is missing from a fan-out that is over; None for one that is not, or of which nobody can tell yet."""
    if counts.state != "completed" or run.fan_out is None:
        return None
    return await find_deletions_below(resources, client, run, many=many_deletions_of(run))


async def _join(
    resources: Resources,
    client: PcoClient,
    opened: NotOpened,
    on_conflict: ConflictPolicy,
    *,
    wait: bool,
    started: float,
) -> State[FanOutSummary]:
    """Not started again; but what is left of it is pushed on, and waited for if that was asked."""
    message = message_of(opened, on_conflict)
    async with resources.database.transaction() as connection:
        run = await find_fan_out(connection, opened.key)
    assert run is not None, "it was found a moment ago"
    await top_up(resources, run)
    counts = await _waited(resources, run) if wait else await _counted(resources, run)
    deletions = await _settled(resources, client, run, counts)
    summary = summarize_fan_out(
        counts,
        deletions,
        outcome="already_running" if opened.why == "running" else "already_completed",
        key=run.key,
        org_id=run.org_id,
        entity=run.entity,
        epoch=run.epoch,
        seconds=time.monotonic() - started,
    )
    return Completed(name=name_of(opened), message=message, data=summary)


def _state(summary: FanOutSummary, deletions: Deletions | None) -> State[FanOutSummary]:
    message = (
        f"{summary.children} children: {summary.done} done, {summary.under_way} under way, {summary.pending} pending, "
        f"{summary.dead} dead, {summary.quarantined} records in quarantine"
    )
    get_run_logger().info("%s: %s", summary.key, message)
    if summary.dead:
        return Completed(name="CompletedWithDeadChildren", message=message, data=summary)
    if summary.cancelled:
        return Cancelled(message=message, data=summary)
    if deletions is not None and deletions.unsettled:
        return Completed(name="CompletedWithMissing", message=deletions.unsettled, data=summary)
    if summary.outcome == "completed" and summary.quarantined:
        return Completed(name="CompletedWithQuarantine", message=message, data=summary)
    return Completed(name=None if summary.outcome == "completed" else "Spreading", message=message, data=summary)
