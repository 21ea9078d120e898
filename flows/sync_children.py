"""sync_children: mirror an entity that is listed per parent, by a child flow run for each parent."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import Field

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import (
    NIGHTLY_REQUESTS,
    Below,
    Budget,
    ChildEntityName,
    ConflictPolicy,
    Epoch,
    OrgId,
    child_chain,
    child_entity,
)
from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Chain, spread_for
from pco_catalog.due_lists import cheapest_chain
from pco_client.client import PcoClient
from pco_store.errors import LeaseLost
from pco_store.ledger.fan_out.fan_outs import cancel_fan_out, find_fan_out, mark_awaiting_children
from pco_store.ledger.openings import DUE, FAN_OUT_SCOPE, WANTED, NotOpened
from pco_store.ledger.run_facts import RunFacts, run_facts
from pco_store.ledger.runs import FanOutPlan, RunHandle
from tasks.deletions.below_parents import find_deletions_below
from tasks.deletions.from_a_list import ManyDeletions
from tasks.fan_out.driving import keep_submitting, wait_for_children
from tasks.fan_out.flow_runs import fan_out_tag
from tasks.fan_out.from_mirror import insert_from_mirror, reads_from_mirror
from tasks.fan_out.submitting import check_children_can_run, submit_more
from tasks.flow_run import current_flow_run_id, tagged
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.pages.processing import as_tasks
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.pages.sync_context import Spawn
from tasks.patience import patiently
from tasks.reports.drift import tell_drift
from tasks.reports.fan_out_summary import FanOutSummary, publish_fan_out, summarize_fan_out
from tasks.reports.outcomes import joined_name, state_of
from tasks.reports.progress import ProgressReport, shown
from tasks.run_names import own_run_name
from tasks.runs.not_started import message_of
from tasks.runs.opening import run_request, run_window
from tasks.runs.working import working
from tasks.settings import read_settings
from tasks.stopping import is_stopped_by_person

GroupsPerRun = Annotated[
    int, Field(ge=1, le=500, description="Parents that one child flow run reads. 1: a flow run for each of them")
]
MostUnderWay = Annotated[
    int, Field(ge=1, le=50_000, description="Children that may be submitted and unfinished at a time")
]

Reads = Annotated[
    Literal["full", "due", "wanted"],
    Field(description="full: the lists of all parents. due: those that are due. wanted: also those a full sync wants"),
]


@flow_from_anywhere(
    name="sync-children",
    flow_run_name=own_run_name,
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
    mode: Reads = "full",
    most_requests: Budget = NIGHTLY_REQUESTS,
) -> State[FanOutSummary]:
    """Read all parents, and have `entity` read below each of them by child flow runs, once per parent and epoch.

    `below` names the parents, outermost first (`["groups.Group", "groups.Event"]`); left out, the usual way. What comes
    with owners that are listed below parents is read with them then. The children are written down with the page that
    shows their parent, so none is lost; they are submitted as runs of the child deployment, never more than
    `most_under_way` unfinished, and each one that ends makes room for the next.
    Without `wait` the flow ends when all parents are read; with it, when all children are done and what was deleted in
    PCO has its tombstone. `many_deletions`: if more than 5 % of all records (and more than 50) are missing, `stop`
    marks none of them as deleted and says so, `accept` believes it once each of them is confirmed.

    Where the list of the parents was read in the same epoch, they are taken from the mirror. In the mode `due` they
    always are, and only those whose lists are due are read, the ones that wait longest first, for `most_requests`. In
    the mode `wanted` they are, too, and the lists are those that a full sync of the church reads, and what is due.

    Raises `NotDeployedError` before anything is done, `SyncRejectedError`, and the errors of settings, credentials,
    client and store.
    """
    settings = read_settings()
    entity = spread_for(load_catalog(), entity, below)
    chain = child_chain(entity, below) if below else cheapest_chain(load_catalog(), child_entity(entity), {})
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
            most_requests=most_requests if mode == DUE else 0,
            wanted=mode == WANTED,
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
            path=chain.levels[-1].path,
        )
        started = time.monotonic()
        request = replace(request, mode="full" if mode == "full" else DUE)
        run, submitted = None, 0
        try:
            async with working(resources, request) as work:
                if isinstance(work, NotOpened):
                    return await _join(resources, client, work, on_conflict, wait=wait, started=started)
                run = work.run
                assert run.fan_out is not None
                chain = child_chain(entity, run.fan_out.below)
                async with tagged(org_id, entity, fan_out_tag(run.run_id)):
                    submitted = await _write_down_children(resources, client, chain, run)
            submitted += await submit_more(resources, run)
        except LeaseLost:
            if run is None or (await _looked_at(resources, run)).state != "cancelled":
                raise
            submitted = 0  # somebody has cancelled the fan-out while its parents were read
        return await _end(resources, client, run, wait=wait, submitted=submitted, started=started)


async def _write_down_children(resources: Resources, client: PcoClient, chain: Chain, run: RunHandle) -> int:
    """From the parents in the mirror, or else by reading them. How many flow runs that were."""
    if not await patiently(resources, partial(reads_from_mirror, root=run, chain=chain)):
        return await _spread(resources, client, chain, run)
    count = await patiently(resources, partial(insert_from_mirror, root=run, chain=chain))
    get_run_logger().info("%s: %d lists below the %s in the mirror", run.key, count, chain.names[-1])
    return 0


async def _spread(resources: Resources, client: PcoClient, chain: Chain, run: RunHandle) -> int:
    """Walk the parents under the lease; their children are submitted meanwhile. How many flow runs that were."""
    first = chain.levels[0]
    path = chain.root.list_path
    assert path is not None, "a chain begins at top level"
    window = run_window(first.entity, mode="full", until=run.started_at, watermark=None)
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
        pages = sync.known_pages
        await patiently(resources, partial(mark_awaiting_children, root=run, pages=pages))  # Prefect may be away
    tell_drift(sync.drift, chain.root)
    return submitted.count


async def _end(
    resources: Resources,
    client: PcoClient,
    run: RunHandle,
    *,
    wait: bool,
    started: float,
    submitted: int = 0,
    joined: str = "",
) -> State[FanOutSummary]:
    """The state by what the ledger shows in the end; `joined` is what was said of a fan-out that others began."""
    if wait:
        await _waited(resources, run)
    facts = await _looked_at(resources, run)
    if facts.state == "completed" and run.fan_out is not None:
        many: ManyDeletions = "accept" if run.fan_out.many_deletions == "accept" else "stop"
        await find_deletions_below(resources, client, run, many=many)
        facts = await _looked_at(resources, run)
    summary, end = summarize_fan_out(
        facts, joined=bool(joined), submitted_here=submitted, seconds=time.monotonic() - started
    )
    get_run_logger().info("%s: %s", summary.key, summary.told)
    if not joined:
        await publish_fan_out(summary, run.run_id)
        return state_of(end, summary.told, summary)
    message = f"{joined}; {end.reason}" if end.reason else joined
    return state_of(replace(end, name=joined_name(end)), message, summary)


async def _waited(resources: Resources, run: RunHandle) -> None:
    try:
        await wait_for_children(resources, run)
    except BaseException as error:
        is_interrupted = FlowRunContext.get() is not None and not isinstance(error, Exception)
        if is_interrupted and await asyncio.shield(is_stopped_by_person()):
            async with resources.database.transaction() as connection:
                await cancel_fan_out(connection, run.run_id)
        raise


async def _looked_at(resources: Resources, run: RunHandle) -> RunFacts:
    return await patiently(resources, partial(run_facts, run_id=run.run_id))


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
    await submit_more(resources, run)
    return await _end(resources, client, run, wait=wait, started=started, joined=message)
