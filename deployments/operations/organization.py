"""`make organization`: start the sync of a whole church as a deployment run, watch it, and show what it did."""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from typing import Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console
from rich.status import Status
from rich.table import Table

from deployments.arguments import WrongArgumentError, check_arguments
from deployments.ended import Failure, announce, end_with, failure_of
from deployments.watching.joining import ended, run_of
from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import PatternMatchesNothingError, select_entities
from pco_store.database import Database
from pco_store.ledger.openings import ORGANIZATION
from pco_store.ledger.results import find_by_flow_run
from pco_store.ledger.run_facts import RunFacts, epoch_facts
from tasks.deployment_runs import start_organization
from tasks.reports.organization_summary import OrganizationSummary, read_organization

LOOK_SECONDS: Final = 2.0
PRINT_EVERY: Final = 30.0
"""Seconds between lines where the output is no terminal."""


async def organization(options: argparse.Namespace, console: Console) -> int:
    """Start, watch, report; the exit code. Raises `WrongArgumentError`, `NotDeployedError`."""
    check_arguments(options.org_id)
    try:
        select_entities(load_catalog(), options.include, options.exclude)
    except PatternMatchesNothingError as error:
        raise WrongArgumentError(str(error)) from None
    started = await start_organization(
        options.org_id,
        epoch=options.epoch,
        on_conflict=options.on_conflict,
        mode=options.mode,
        include=options.include,
        exclude=options.exclude,
        groups_per_run=options.groups_per_run,
        many_deletions=options.many_deletions,
    )
    announced = announce(started.flow_run, console, is_new=started.is_new)
    if options.no_watch:
        return end_with(announced, "", console, as_json=options.json)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        flow_run = await _watch(started.flow_run, options.org_id, database, console)
        result = await _result(flow_run, options, database, console)
    except asyncio.CancelledError:
        console.print("no longer watched; the run goes on, and can be cancelled at the address above")
        raise
    finally:
        await database.aclose()
    if isinstance(result, Failure):
        return end_with(result, result.reason, console, as_json=options.json)
    if not options.json:
        show_entities(result, console)
    told = f"{result.told}. {result.reason}" if result.reason else result.told
    return end_with(result, told, console, as_json=options.json)


async def _result(
    flow_run: FlowRun, options: argparse.Namespace, database: Database, console: Console
) -> OrganizationSummary | Failure:
    """By the ledger, when the run that was started or joined is over."""
    run = await run_of(
        database, flow_run, org_id=options.org_id, entity=ORGANIZATION, mode=options.mode, epoch=options.epoch
    )
    if run is None:
        return failure_of(flow_run)
    run = await ended(database, run, console)
    async with database.transaction() as connection:
        return await read_organization(connection, run)


async def _watch(run: FlowRun, org_id: str, database: Database, console: Console) -> FlowRun:
    with console.status("waiting for a worker") as status:
        async with get_client() as client:
            printed = time.monotonic()
            while True:
                run = await client.read_flow_run(run.id)
                if run.state is not None and run.state.is_final():
                    return run
                printed = await _show_progress(run, org_id, database, console, status, printed)
                await asyncio.sleep(LOOK_SECONDS)


async def _show_progress(
    run: FlowRun, org_id: str, database: Database, console: Console, status: Status, printed: float
) -> float:
    """Of the turn that this flow run has taken, and of no other; when a line was printed last."""
    async with database.transaction() as connection:
        church = await find_by_flow_run(
            connection, org_id=org_id, entity=ORGANIZATION, scope="", flow_run_id=str(run.id)
        )
        facts: Sequence[RunFacts] = (
            [] if church is None else await epoch_facts(connection, org_id=org_id, epoch=church.epoch)
        )
    told = _told(run, church.epoch if church is not None else None, facts)
    status.update(told)
    if not console.is_terminal and time.monotonic() - printed >= PRINT_EVERY:
        printed = time.monotonic()
        console.print(told, highlight=False, markup=False)
    return printed


def _told(run: FlowRun, epoch: str | None, facts: Sequence[RunFacts]) -> str:
    if epoch is None:
        return f"{run.state.name.lower() if run.state and run.state.name else 'unknown'}: no worker has begun it yet"
    done = sum(one.state == "completed" for one in facts)
    sums = {name: sum(getattr(one, name) for one in facts) for name in ("lists", "pages", "rows")}
    return (
        f"{epoch}: {done} of {len(facts)} begun resources complete, {sums['lists']:,} lists, {sums['pages']:,} pages, "
        f"{sums['rows']:,} rows"
    )


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
            console.print(line, highlight=False, markup=False, soft_wrap=True)
