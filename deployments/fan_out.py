"""`make fan-out` and its like: start a fan-out and watch it, list them, replay the dead, cancel."""

import argparse
import os

from prefect.utilities.urls import url_for
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from deployments.arguments import check_arguments, check_fan_out
from deployments.names import REPLAY_CHILDREN
from deployments.report import show_mirror
from deployments.watch_fan_out import watch_fan_out
from pco_store.children import list_dead
from pco_store.database import Database
from pco_store.fan_outs import cancel_fan_out, find_fan_out
from pco_store.openings import FAN_OUT_SCOPE, sync_key
from tasks.starting import start_deployment, start_fan_out
from tasks.submitting import check_children_can_run


class UnknownFanOutError(Exception):
    """The ledger has no such fan-out."""


async def fan_out(options: argparse.Namespace, console: Console) -> int:
    """Start, watch, report; the exit code is 1 if a child is dead. Raises `WrongArgumentError`, `NotDeployedError`."""
    below = options.below.split(",") if options.below else None
    check_fan_out(options.org_id, options.entity, below)
    obstacle = await check_children_can_run(os.environ.get("PCO_SYNC_CHILD_DEPLOYMENT", "sync-child/pco-sync"))
    if obstacle:
        console.print(f"[yellow]note:[/] {obstacle}", highlight=False, soft_wrap=True)
    started = await start_fan_out(
        options.org_id,
        options.entity,
        epoch=options.epoch,
        on_conflict=options.on_conflict,
        groups_per_run=options.groups_per_run,
        most_under_way=options.most_under_way,
        many_deletions=options.many_deletions,
        **({"below": below} if below else {}),
    )
    run = started.flow_run
    console.print(f"{'started' if started.is_new else 'runs or ran already'}: {run.name}", highlight=False)
    console.print(f"  {url_for(run)}", soft_wrap=True)
    if options.no_watch:
        return 0
    key = sync_key(options.org_id, options.entity, options.epoch, FAN_OUT_SCOPE)
    view = await watch_fan_out(key, console)
    await show_mirror(options.org_id, console)
    return 1 if view.counts.dead else 0


async def show_fan_outs(org_id: str, console: Console) -> int:
    """Every fan-out of a church, and the children that are dead."""
    check_arguments(org_id)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            result = await connection.execute(
                text("SELECT * FROM sync.fan_outs WHERE org_id = :org_id ORDER BY run_id"), {"org_id": org_id}
            )
            rows = result.mappings().all()
            dead = await list_dead(connection, org_id)
    finally:
        await database.aclose()
    table = Table(title=f"Fan-outs of {org_id}", title_justify="left")
    names = ("entity", "epoch", "state", "children", "completed", "absent", "forbidden", "cancelled", "dead")
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    console.print(table)
    for child in dead:
        console.print(f"dead: {child.key} after {child.attempts} attempts: {child.error}", markup=False, soft_wrap=True)
    return 0


async def replay(options: argparse.Namespace, console: Console) -> int:
    """Run the dead and cancelled children again. Raises `WrongArgumentError`, `NotDeployedError`."""
    check_fan_out(options.org_id, options.entity, None)
    parameters = {"org_id": options.org_id, "entity": options.entity, "epoch": options.epoch}
    run = await start_deployment(REPLAY_CHILDREN, parameters)
    console.print(f"started: {url_for(run)}", soft_wrap=True)
    return 0


async def cancel(options: argparse.Namespace, console: Console) -> int:
    """Let no child start any more, and the running ones stop. Raises `WrongArgumentError`, `UnknownFanOutError`."""
    check_fan_out(options.org_id, options.entity, None)
    key = sync_key(options.org_id, options.entity, options.epoch, FAN_OUT_SCOPE)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            root = await find_fan_out(connection, key)
            if root is None:
                raise UnknownFanOutError(f"the ledger has no fan-out {key}; `fan-outs` lists those there are")
            stopped = await cancel_fan_out(connection, root.run_id)
    finally:
        await database.aclose()
    said = "cancelled; the same fan-out started again continues it" if stopped else "there was nothing to stop"
    console.print(f"{key}: {said}", highlight=False, soft_wrap=True)
    return 0
