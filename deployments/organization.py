"""`make organization`: start the sync of a whole church as a deployment run, watch it, and show what it did."""

import argparse
import asyncio
import os
import time
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.urls import url_for
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from deployments.arguments import WrongArgumentError, check_arguments
from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import PatternMatchesNothingError, select_entities
from pco_store.database import Database
from pco_store.epoch_totals import EntityTotals, epoch_totals
from pco_store.openings import ORGANIZATION
from tasks.starting import start_organization

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
    run = started.flow_run
    console.print(f"{'started' if started.is_new else 'runs or ran already'}: {run.name}", highlight=False)
    console.print(f"  {url_for(run)}", soft_wrap=True)
    if options.no_watch:
        return 0
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        ended = await _watch(run, options.org_id, database, console)
        _, totals = await _look(database, options.org_id)
    except asyncio.CancelledError:
        console.print("no longer watched; the run goes on, and can be cancelled at the address above")
        raise
    finally:
        await database.aclose()
    _show(totals, console)
    state = ended.state
    if state is not None:
        console.print(f"{state.name}: {state.message or ''}", highlight=False, markup=False, soft_wrap=True)
    return 0 if state is not None and state.is_completed() else 1


async def _watch(run: FlowRun, org_id: str, database: Database, console: Console) -> FlowRun:
    printed = time.monotonic()
    with console.status("waiting for a worker") as status:
        async with get_client() as client:
            while True:
                run = await client.read_flow_run(run.id)
                if run.state is not None and run.state.is_final():
                    return run
                epoch, totals = await _look(database, org_id)
                told = _told(run, epoch, totals)
                status.update(told)
                if not console.is_terminal and time.monotonic() - printed >= PRINT_EVERY:
                    printed = time.monotonic()
                    console.print(told, highlight=False, markup=False)
                await asyncio.sleep(LOOK_SECONDS)


def _told(run: FlowRun, epoch: str | None, totals: list[EntityTotals]) -> str:
    if run.state is None or not run.state.is_running() or epoch is None:
        return f"{run.state.name.lower() if run.state and run.state.name else 'unknown'}: no worker has begun it yet"
    done = sum(one.state == "completed" for one in totals)
    sums = {name: sum(getattr(one, name) for one in totals) for name in ("lists", "pages", "rows")}
    return (
        f"{epoch}: {done} of {len(totals)} begun resources complete, {sums['lists']:,} lists, {sums['pages']:,} pages, "
        f"{sums['rows']:,} rows"
    )


async def _look(database: Database, org_id: str) -> tuple[str | None, list[EntityTotals]]:
    """The church's newest epoch, and what it did so far."""
    async with database.transaction() as connection:
        epoch: Any = await connection.scalar(
            text(
                "SELECT epoch FROM sync.runs WHERE org_id = :org_id AND entity = :entity AND state <> 'closed' "
                "ORDER BY turn DESC LIMIT 1"
            ),
            {"org_id": org_id, "entity": ORGANIZATION},
        )
        return epoch, [] if epoch is None else await epoch_totals(connection, org_id=org_id, epoch=epoch)


def _show(totals: list[EntityTotals], console: Console) -> None:
    table = Table(title="What it read", title_justify="left")
    table.add_column("resource", overflow="fold", min_width=24)
    table.add_column("state", overflow="fold")
    for name in ("lists", "rows", "new", "changed", "requests"):
        table.add_column(name, justify="right")
    for one in totals:
        numbers = (one.lists, one.rows, one.new, one.changed, one.requests)
        table.add_row(one.entity, one.state, *(f"{number:,}" for number in numbers))
    console.print(table)
