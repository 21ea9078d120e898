"""`sync`: start the sync of a list, of what is listed below parents, or of a church; watch it, and show what it did."""

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from deployments.ended import end_with
from deployments.operations.mirror import show_mirror
from deployments.terminal import print_plain
from deployments.watching.announced import Failure, announce, failure_of
from deployments.watching.churches import ChurchLook
from deployments.watching.fan_outs import FanOutLook, FanOutView
from deployments.watching.followed import Followed, FollowedFlowRun
from deployments.watching.following import PRINT_EVERY, follow
from deployments.watching.lists import ListLook
from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import select_entities
from pco_client.redis_address import redis_address
from pco_store.database import Database
from pco_store.ledger.openings import FAN_OUT_SCOPE, ORGANIZATION
from pco_store.ledger.results import LedgerRun
from pco_store.ledger.run_facts import run_facts
from tasks.credentials import connection_for_org
from tasks.deployment_runs import Started, start_fan_out, start_organization, start_sync
from tasks.fan_out.submitting import check_children_can_run
from tasks.reports.fan_out_summary import FanOutSummary, summarize_fan_out
from tasks.reports.organization_summary import OrganizationSummary, read_organization
from tasks.reports.sync_summary import SyncSummary, summary_of
from tasks.settings import read_settings

Summary = SyncSummary | FanOutSummary | OrganizationSummary


async def sync(
    org_id: str, entity: str | None, parameters: Mapping[str, Any], console: Console, *, no_watch: bool, as_json: bool
) -> int:
    """Start, watch, report; the exit code. Without an entity it is the church.

    Raises `UnknownOrganizationError`, `NotDeployedError`, `PlanDiffers`.
    """
    settings = read_settings()
    await connection_for_org(org_id, settings)
    below = entity is not None and "groups_per_run" in parameters  # which only fan-outs and churches take
    if below or entity is None:
        obstacle = await check_children_can_run(settings.child_deployment)
        if obstacle:
            console.print(f"[yellow]note:[/] {obstacle}", highlight=False, soft_wrap=True)
    started = await _start(org_id, entity, parameters, below=below)
    announced = announce(started.flow_run, console, is_new=started.is_new)
    if no_watch:
        return end_with(announced, "", console, as_json=as_json)
    result = await watch_to_the_end(
        started.flow_run,
        org_id,
        entity,
        console,
        below=below,
        epoch=parameters.get("epoch"),
        mode=parameters.get("mode", "full"),
        chosen=None if entity or parameters.get("mode") in ("rest", "lists") else _chosen(parameters),
    )
    return await report(result, org_id, console, as_json=as_json)


def _read_for(entity: str | None, *, below: bool) -> str:
    """Whose run in the ledger it is: a kind that comes with its owners is read by their list."""
    sideload = None if entity is None or below else load_catalog().entity(entity).sideload
    return sideload.owner if sideload is not None else entity or ORGANIZATION


async def watch_to_the_end(
    flow_run: FlowRun,
    org_id: str,
    entity: str | None,
    console: Console,
    *,
    below: bool,
    epoch: str | None = None,
    mode: str = "full",
    chosen: int | None = None,
    on_view: Callable[[FanOutView], None] = lambda _: None,
    print_every: float = PRINT_EVERY,
) -> Summary | Failure:
    """What came of it by the ledger, or by Prefect if the ledger never knew of it; meanwhile its progress is shown."""
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1))
        client = await opened.enter_async_context(get_client())
        followed = Followed(
            database,
            FollowedFlowRun(client, flow_run),
            org_id=org_id,
            entity=_read_for(entity, below=below),
            scope=FAN_OUT_SCOPE if below else "",
            mode=mode,
            epoch=epoch,
        )
        view: ListLook | FanOutLook | ChurchLook
        if entity is None:
            view = ChurchLook(followed, chosen)
        elif below:
            view = FanOutLook(followed, on_view=on_view)
        else:
            redis: Redis = Redis.from_url(redis_address(os.environ["PCO_SYNC_REDIS_URL"]), decode_responses=True)
            opened.push_async_callback(redis.aclose)
            view = ListLook(followed, redis, console)
        stop = f"`pco-sync cancel {org_id} {entity} --epoch {epoch or '…'}`" if below else "Prefect's page of the run"
        parting = f"no longer watched: it goes on. The same command watches it again; {stop} cancels it"
        await follow(view.look, console, print_every=print_every, parting=parting)
        if followed.run is None:
            return failure_of(followed.flow_run.flow_run)
        return await _summary(database, followed.run)


async def report(result: Summary | Failure, org_id: str, console: Console, *, as_json: bool) -> int:
    """Print it, with the table that goes with it; the exit code."""
    if isinstance(result, Failure):
        return end_with(result, result.reason, console, as_json=as_json)
    told = result.told
    if isinstance(result, OrganizationSummary):
        if not as_json:
            show_entities(result, console)
        told = f"{told}. {result.reason}" if result.reason else told
    elif result.outcome != "failed" and not as_json:
        await show_mirror(org_id, console)
    elif isinstance(result, SyncSummary) and result.outcome == "failed":
        told = result.reason
    return end_with(result, told, console, as_json=as_json)


def show_entities(summary: OrganizationSummary, console: Console) -> None:
    """A row for each entity, and below the table a line for each that is not complete; within 80 columns."""
    table = Table(title="What it read", title_justify="left")
    table.add_column("resource", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for name in ("lists", "rows", "new", "changed", "requests"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in summary.entities:
        numbers = (one.lists, one.rows, one.new, one.changed, one.requests)
        table.add_row(one.entity, one.outcome, *(f"{number:,}" for number in numbers))
    console.print(table)
    for one in summary.entities:
        if one.outcome != "completed":
            line = f"{one.entity}: {one.outcome}" + (f": {one.reason}" if one.reason else "")
            print_plain(console, line)


async def _start(org_id: str, entity: str | None, parameters: Mapping[str, Any], *, below: bool) -> Started:
    if entity is None:
        return await start_organization(org_id, **parameters)
    if not below:
        return await start_sync(org_id, entity, **parameters)
    return await start_fan_out(org_id, entity, **parameters)


async def _summary(database: Database, run: LedgerRun) -> Summary:
    async with database.transaction() as connection:
        if run.entity == ORGANIZATION:
            return await read_organization(connection, run)
        facts = await run_facts(connection, run.run_id)
    return summarize_fan_out(facts)[0] if facts.is_fan_out else summary_of(facts)[0]


def _chosen(parameters: Mapping[str, Any]) -> int:
    """How many kinds of records were asked for."""
    return len(select_entities(load_catalog(), parameters["include"], parameters["exclude"]))
