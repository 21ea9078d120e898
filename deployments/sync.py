"""`make sync`: start a sync as a deployment run and show it."""

import argparse
import asyncio

from prefect.utilities.urls import url_for
from rich.console import Console

from deployments.arguments import check_arguments
from deployments.report import show_mirror
from deployments.watch import watch
from tasks.starting import start_sync


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
    run = started.flow_run
    console.print(f"{'started' if started.is_new else 'runs or ran already'}: {run.name}", highlight=False)
    console.print(f"  {url_for(run)}", soft_wrap=True)
    if options.no_watch:
        return 0
    try:
        ended = await watch(run.id, options.org_id, options.entity, console)
    except asyncio.CancelledError:
        console.print("no longer watched; the run goes on, and can be cancelled at the address above")
        raise
    state = ended.state
    if state is not None and state.message:
        console.print(f"{state.name}: {state.message}", highlight=False, markup=False, soft_wrap=True)
    if state is None or not state.is_completed():
        return 1
    await show_mirror(options.org_id, console)
    return 0
