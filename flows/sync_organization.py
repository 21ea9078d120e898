"""sync_organization: mirror a whole church, or the part of it that is asked for, in one epoch."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal

import httpx
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import NIGHTLY_REQUESTS, Budget, ConflictPolicy, Epoch, OrgId, Patterns
from flows.sync_children import GroupsPerRun, MostUnderWay, sync_children
from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import select_entities
from pco_client.client import PcoClient
from pco_client.errors import SkipError
from pco_store.errors import StoreError
from pco_store.freshness.keeping import keep_facts
from pco_store.ledger.fan_out.fan_outs import find_fan_out
from pco_store.ledger.leases import RunLease
from pco_store.ledger.members import read_traits
from pco_store.ledger.openings import DUE, FAN_OUT_SCOPE, ORGANIZATION, NotOpened, RunRequest, sync_key
from pco_store.ledger.results import find_by_key
from pco_store.ledger.run_facts import epoch_facts
from pco_store.ledger.runs import FinalState, RunHandle, RunWindow, finish_run
from pco_store.ledger.watermarks import read_watermarks
from pco_walks.ways import OrganizationMode, Way, excluded_in_vain, stages_of, ways_of
from tasks.deletions.from_a_list import ManyDeletions
from tasks.due.night import count_parents, look_at_waiting, plan_night, share_now
from tasks.fan_out.submitting import check_children_can_run
from tasks.flow_run import current_flow_run_id, owner, tagged
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.lists.church_lists import read_church_lists
from tasks.lists.readable_products import PRODUCTS, read_lately, unreadable_products
from tasks.patience import patiently
from tasks.reports.organization_summary import (
    EntityEnd,
    OrganizationSummary,
    WaitingLists,
    facts_of,
    organization_state,
    publish_organization,
    read_organization,
    result_of,
    summarize_organization,
)
from tasks.reports.outcomes import SPREADING
from tasks.retries import DELTA_SECONDS
from tasks.run_names import own_run_name
from tasks.runs.not_started import message_of
from tasks.runs.opening import (
    LONGEST_ERROR,
    checked_schema,
    reason_of,
)
from tasks.runs.working import working
from tasks.settings import read_settings

FAN_OUTS_AT_A_TIME: Final = 3


class EntitiesFailedError(Exception):
    """Some entities could not be mirrored; the message names them and why. All others are."""


@flow_from_anywhere(
    name="sync-organization",
    flow_run_name=own_run_name,
    description="Mirror a whole church: every list, then everything below its parents, in one epoch.",
    validate_parameters=True,
)
async def sync_organization(
    org_id: OrgId,
    epoch: Epoch | None = None,
    mode: OrganizationMode = "full",
    include: Patterns = (),
    exclude: Patterns = (),
    on_conflict: ConflictPolicy = "join",
    groups_per_run: GroupsPerRun = 50,
    most_under_way: MostUnderWay = 1000,
    many_deletions: ManyDeletions = "stop",
    wait: bool = True,
    budget: Budget = NIGHTLY_REQUESTS,
) -> State[OrganizationSummary]:
    """Mirror what `include` and `exclude` choose (all, if they are empty), once per epoch.

    Lists at top level are read first, then what PCO shows below parents only, by fan-outs whose children run on the
    work pool. Products that PCO does not show to this credential are reported and left out. What fails does not keep
    the rest from being read: the run fails at the end, and the next one with its epoch continues it.

    Args:
        org_id: Which church: the name of its credentials block, such as grace
        epoch: Which turn. Leave it out: an unfinished turn is continued, else a new one is opened
        mode: full reads everything, delta what changed where PCO can tell, rest what no delta can tell, and below
            parents what is due; lists reads every list at top level in full
        include: Patterns such as people.*, giving or *.Person; empty for everything
        exclude: The same, for what is left out
        on_conflict: If it runs or is done already: join says so, reject fails, restart begins again from the start
        groups_per_run: Parents that one child flow run reads
        most_under_way: Children of one fan-out that may be submitted and unfinished at a time
        many_deletions: As of sync-entity, for every list
        wait: End when all children are done, instead of when all are written down
        budget: Requests of a night: in the mode rest, lists below parents are read as far as it goes

    Raises `NotDeployedError` before anything is read, `EntitiesFailedError`, `SyncRejectedError`, and the errors of
    settings, credentials, client and store.
    """
    settings = read_settings()
    plan = {
        "mode": mode,
        "include": list(include),
        "exclude": list(exclude),
        "groups_per_run": groups_per_run,
        "most_under_way": most_under_way,
        "many_deletions": many_deletions,
        "wait": wait,
        "budget": budget,
    }
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        await checked_schema(resources)
        request = RunRequest(
            org_id=org_id,
            entity=ORGANIZATION,
            epoch=epoch,
            mode=mode,
            on_conflict=on_conflict,
            window=RunWindow(attribute=None, since=None, until=None),
            page_size=settings.page_size,
            owner=owner(),
            flow_run_id=current_flow_run_id(),
            lease_seconds=settings.lease_seconds,
            plan=plan,
        )
        async with working(resources, request) as work:
            if isinstance(work, NotOpened):
                return await _not_started(resources, work, on_conflict)
            async with tagged(org_id, ORGANIZATION):
                summary = await _mirror(resources, client, work, work.run.plan or plan)
        await publish_organization(summary)
        get_run_logger().info("%s: %s", summary.key, summary.told)
        if summary.outcome == "failed":
            raise EntitiesFailedError(f"{summary.told}; started again it continues. {_reasons(summary)}")
        return organization_state(summary, summary.told)


async def _mirror(
    resources: Resources, client: PcoClient, lease: RunLease, plan: Mapping[str, Any]
) -> OrganizationSummary:
    """Everything under the lease; the run ends in the ledger with what became of its lists."""
    run, started = lease.run, time.monotonic()
    ended, waiting, probes = await _read_all(resources, client, lease, plan)

    async def end(connection: AsyncConnection) -> OrganizationSummary:
        found = await find_by_key(connection, run.key)
        assert found is not None, "it is ours"
        facts = await epoch_facts(connection, org_id=run.org_id, epoch=run.epoch)
        seconds = time.monotonic() - started
        summary = summarize_organization(
            found, ended, facts_of(ended, facts), seconds=seconds, waiting=waiting, probes=probes
        )
        error = _reasons(summary)[:LONGEST_ERROR] or None
        state: FinalState = "failed" if summary.outcome == "failed" else "completed"
        result = result_of(ended, seconds=seconds, waiting=waiting, probes=probes)
        await finish_run(connection, run, state, error=error, result=result)
        return summary

    summary = await patiently(resources, end)
    with suppress(StoreError):  # else the next sweep does it; until then freshness is looked up
        async with resources.database.transaction() as connection:
            await keep_facts(connection, run.org_id)
    return summary


def _reasons(summary: OrganizationSummary) -> str:
    return "; ".join(f"{one.entity}: {one.reason}" for one in summary.of("failed"))


async def _read_all(
    resources: Resources, client: PcoClient, lease: RunLease, plan: Mapping[str, Any]
) -> tuple[dict[str, EntityEnd], WaitingLists | None, int]:
    """How each kind ended, what waits for the next nights, and by how many requests products were probed."""
    catalog, run, mode = load_catalog(), lease.run, plan["mode"]
    entities = select_entities(catalog, plan["include"], plan["exclude"])
    known = await patiently(resources, partial(read_watermarks, org_id=run.org_id), is_one_statement=True)
    counts: Mapping[str, int] = {}
    if mode in ("full", "rest"):
        counts = await patiently(resources, partial(count_parents, catalog=catalog, org_id=run.org_id))

    choose = partial(ways_of, catalog, entities, known=known.keys(), counts=counts, include=plan["include"])
    traits = await patiently(resources, partial(read_traits, org_id=run.org_id), is_one_statement=True)
    for told in excluded_in_vain(catalog, entities, plan["exclude"], traits.distrusted):
        get_run_logger().warning("it is excluded, and read all the same: %s", told)
    top, below = choose(mode=mode, distrusted=traits.distrusted)
    if below:
        obstacle = await check_children_can_run(resources.settings.child_deployment)
        if obstacle:
            get_run_logger().warning(obstacle)
    products = {way.entity.product for way in (*top, *below)}
    within = DELTA_SECONDS if mode == "delta" else None
    if mode in ("delta", "rest"):
        products -= read_lately(known, now=run.started_at)
    patient = resources.patient_client(client, lane=PRODUCTS, within=within)
    refused, _ = await unreadable_products(patient, catalog, products)
    ended = {
        way.entity.name: EntityEnd(outcome="unreadable", reason=refused[way.entity.product])
        for way in (*top, *below)
        if way.entity.product in refused
    }
    for product, why in sorted(refused.items()):
        get_run_logger().warning("%s is left out: %s", product, why)
    ended |= await read_church_lists(
        resources,
        client,
        lease,
        [way for way in top if way.entity.product not in refused],
        many_deletions=plan["many_deletions"],
        within=within,
    )
    if mode not in ("full", "rest"):
        return ended, None, patient.requests

    async def chosen(mode: OrganizationMode) -> list[Way]:
        traits = await patiently(resources, partial(read_traits, org_id=run.org_id), is_one_statement=True)
        ways = choose(mode=mode, distrusted=traits.distrusted)[1]
        return [way for way in ways if way.entity.product not in refused]

    readable = await chosen(mode)
    shares: dict[str, int] = {}
    if readable and mode == "rest":
        budget = plan.get("budget", NIGHTLY_REQUESTS)
        shares = await plan_night(resources, run, readable, budget=budget, probes=patient.requests)
    read: set[str] = set()
    while True:
        # What did not come with its owners, as has turned out by now, is read below them.
        left = [way for way in await chosen(mode) if way.entity.name not in read]
        left = [way for way in left if mode != "rest" or way.entity.name in shares]
        if not left:
            return ended, await _waiting(resources, run.org_id, await chosen("rest")), patient.requests
        stage = stages_of(left)[0]
        read |= {way.entity.name for way in stage}
        ended |= await _fan_out(resources, run, stage, plan, shares)


async def _waiting(resources: Resources, org_id: str, nightly: Sequence[Way]) -> WaitingLists:
    found = await patiently(resources, partial(look_at_waiting, org_id=org_id, below=nightly))
    return WaitingLists(
        lists=found.lists,
        never_read=found.never_read,
        longest_days=found.longest.days,
        unread=dict(found.unread),
        unread_days=-(-found.until_all // timedelta(days=1)),
    )


async def _fan_out(
    resources: Resources, run: RunHandle, ways: Sequence[Way], plan: Mapping[str, Any], shares: Mapping[str, int]
) -> dict[str, EntityEnd]:
    """Each as a flow run of its own, a few at a time; how they ended. `shares` are the requests of each in a night.

    In a night for which nothing is left, the lists of a kind wait for the next.
    """
    room = asyncio.Semaphore(FAN_OUTS_AT_A_TIME)
    ended: dict[str, EntityEnd] = {}

    async def one(way: Way) -> None:
        name, most = way.entity.name, 0
        async with room:
            if plan["mode"] == "rest":
                most = await patiently(resources, partial(share_now, run=run, entity=name, planned=shares[name]))
                if not most:
                    return
            try:
                ended[name] = await _ended(await read(way, most))
            except httpx.HTTPError as error:  # Prefect was away for too long; the other fan-outs go on
                ended[name] = EntityEnd(outcome="failed", reason=reason_of(error))

    async def read(way: Way, most: int) -> State[Any]:
        state: State[Any] = await sync_children(
            run.org_id,
            way.entity.name,
            epoch=run.epoch,
            groups_per_run=plan["groups_per_run"],
            most_under_way=plan["most_under_way"],
            many_deletions=plan["many_deletions"],
            wait=plan["wait"],
            below=None if way.chain is None else way.chain.names,
            mode="due" if plan["mode"] == "rest" else await _reads(resources, run, way),
            most_requests=most,
            return_state=True,
        )
        return state

    async with asyncio.TaskGroup() as group:
        for way in ways:
            group.create_task(one(way), name=way.entity.name)
    return ended


async def _reads(resources: Resources, run: RunHandle, way: Way) -> Literal["full", "wanted"]:
    """Which lists a full sync reads; what was begun in an epoch by a version that always read all stays what it was."""
    key = sync_key(run.org_id, way.entity.name, run.epoch, FAN_OUT_SCOPE)
    begun = await patiently(resources, partial(find_fan_out, key=key))
    return "full" if way.is_whole or (begun is not None and begun.mode != DUE) else "wanted"


async def _ended(state: State[Any]) -> EntityEnd:
    """What the flow run itself says; the ledger is asked first."""
    if state.is_completed():
        named = state.name or ""
        if named in (SPREADING, "AlreadyRunning"):
            return EntityEnd(outcome="spreading", reason=state.message or "")
        return EntityEnd(outcome="incomplete" if named.startswith("CompletedWith") else "completed")
    result = await state.aresult(raise_on_failure=False)
    if state.is_cancelled():
        return EntityEnd(outcome="cancelled", reason=state.message or "cancelled")
    if isinstance(result, SkipError):
        return EntityEnd(outcome="unreadable", reason=reason_of(result))
    reason = reason_of(result) if isinstance(result, Exception) else state.message or str(state.name)
    return EntityEnd(outcome="failed", reason=reason)


async def _not_started(
    resources: Resources, opened: NotOpened, on_conflict: ConflictPolicy
) -> State[OrganizationSummary]:
    """Nothing is read; what the other run has left for a person is shown by the state, too."""
    message = message_of(opened, on_conflict)

    async def look(connection: AsyncConnection) -> OrganizationSummary:
        run = await find_by_key(connection, opened.key)
        assert run is not None, "it was found a moment ago"
        return await read_organization(connection, run, joined=True)

    summary = await patiently(resources, look)
    name = {"already_running": "AlreadyRunning", "already_completed": "AlreadyCompleted"}.get(summary.outcome)
    if name is not None:
        return Completed(name=name, message=message, data=summary)
    return organization_state(summary, f"{message}; {summary.told}")
