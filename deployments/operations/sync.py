"""`make sync`: start a sync as a deployment run, watch it, and show what came of it."""

import argparse
import asyncio
import os

from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from deployments.arguments import check_arguments
from deployments.ended import Failure, announce, end_with, failure_of
from deployments.operations.mirror import show_mirror
from deployments.watching.joining import ended, run_of
from deployments.watching.lists import watch
from pco_store.database import Database
from pco_store.ledger.run_facts import run_facts
from tasks.deployment_runs import start_sync
from tasks.reports.sync_summary import SyncSummary, summary_of


async def sync(options: argparse.Namespace, console: Console) -> int:
    """Start, watch, report; the exit code. Raises `WrongArgumentError` for what the flow would refuse."""
    check_arguments(options.org_id, options.entity)
    started = await start_sync(
        options.org_id,
        options.entity,
        epoch=options.epoch,
        on_conflict=options.on_conflict,
        mode=options.mode,
        many_deletions=options.many_deletions,
    )
    announced = announce(started.flow_run, console, is_new=started.is_new)
    if options.no_watch:
        return end_with(announced, "", console, as_json=options.json)
    try:
        flow_run = await watch(started.flow_run.id, options.org_id, options.entity, console)
        result = await _result(flow_run, options, console)
    except asyncio.CancelledError:
        console.print("no longer watched; the run goes on, and can be cancelled at the address above")
        raise
    if isinstance(result, Failure):
        return end_with(result, result.reason, console, as_json=options.json)
    if not options.json and result.outcome != "failed":
        await show_mirror(options.org_id, console)
    told = result.reason if result.outcome == "failed" else result.told
    return end_with(result, told, console, as_json=options.json)


async def _result(flow_run: FlowRun, options: argparse.Namespace, console: Console) -> SyncSummary | Failure:
    """By the ledger, when the run that was started or joined is over."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        run = await run_of(
            database,
            flow_run,
            org_id=options.org_id,
            entity=options.entity,
            mode=options.mode,
            epoch=options.epoch,
        )
        if run is None:
            return failure_of(flow_run)
        run = await ended(database, run, console)
        async with database.transaction() as connection:
            summary, _ = summary_of(await run_facts(connection, run.run_id))
        return summary
    finally:
        await database.aclose()
