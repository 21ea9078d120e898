"""`make sync`: start a sync as a deployment run and show it."""

import argparse

from rich.console import Console

from deployments.report import show_mirror
from deployments.start import start_sync
from deployments.watch import watch
from flows.parameters import check_entity, check_org_id


async def sync(options: argparse.Namespace, console: Console) -> int:
    """Start, watch, report; the exit code. Raises `ValueError` for parameters that the flow would refuse."""
    check_org_id(options.org_id)
    check_entity(options.entity)
    started = await start_sync(
        options.org_id, options.entity, epoch=options.epoch, on_conflict=options.on_conflict, mode=options.mode
    )
    run = started.flow_run
    console.print(f"{'started' if started.is_new else 'runs or ran already'}: {run.name} ({run.id})", highlight=False)
    if options.no_watch:
        return 0
    ended = await watch(run.id, options.org_id, options.entity, console)
    state = ended.state
    console.print(
        f"{state.name if state else 'no state'}: {(state.message if state else None) or 'done'}", highlight=False
    )
    if state is None or not state.is_completed():
        return 1
    await show_mirror(options.org_id, console)
    return 0
