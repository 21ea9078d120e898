"""`make fan-out` and its like: start a fan-out and watch it, list them, replay the dead, cancel."""

import argparse
import asyncio
import os
import time
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from deployments.arguments import check_arguments, check_fan_out
from deployments.ended import Failure, announce, end_with, failure_of, print_document
from deployments.exit_codes import DONE
from deployments.operations.mirror import show_mirror
from deployments.provisioning.names import REPLAY_CHILDREN
from deployments.watching.fan_outs import EndedBeforeItBeganError, watch_fan_out
from deployments.watching.flow_runs import end_of_flow_run
from pco_store.database import Database
from pco_store.ledger.children import list_dead
from pco_store.ledger.fan_outs import cancel_fan_out, find_fan_out
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from pco_store.ledger.results import find_by_key
from pco_store.ledger.run_facts import facts_by_key, fan_out_facts
from pco_store.ledger.runs import RunHandle
from tasks.deployment_runs import start_deployment, start_fan_out
from tasks.fan_out.submitting import check_children_can_run
from tasks.reports.fan_out_summary import FanOutSummary, summarize_fan_out

LOOK_SECONDS: Final = 0.5
PATIENCE_WITH_DELETIONS: Final = 60.0
"""Seconds after the last child in which we wait to be told what is missing; it is looked for by a run of its own."""


class UnknownFanOutError(Exception):
    """The ledger has no such fan-out."""


async def fan_out(options: argparse.Namespace, console: Console) -> int:
    """Start, watch, report; the exit code. Raises `WrongArgumentError`, `NotDeployedError`."""
    below = options.below.split(",") if options.below else None
    check_fan_out(options.org_id, options.entity, below)
    obstacle = await check_children_can_run(os.environ.get("PCO_SYNC_CHILD_DEPLOYMENT", "sync-child/pco-sync"))
    if obstacle:
        console.print(f"[yellow]note:[/] {obstacle}", highlight=False, soft_wrap=True)
    key = sync_key(options.org_id, options.entity, options.epoch, FAN_OUT_SCOPE)
    started = await start_fan_out(
        options.org_id,
        options.entity,
        epoch=options.epoch,
        on_conflict=options.on_conflict,
        is_abandoned=await _is_to_be_continued(key),
        groups_per_run=options.groups_per_run,
        most_under_way=options.most_under_way,
        many_deletions=options.many_deletions,
        **({"below": below} if below else {}),
    )
    announced = announce(started.flow_run, console, is_new=started.is_new)
    if options.no_watch:
        return end_with(announced, "", console, as_json=options.json)
    return await _watch_to_the_end(key, started.flow_run.id, options, console)


async def replay(options: argparse.Namespace, console: Console) -> int:
    """Run the dead and cancelled children again, and watch.

    Raises `WrongArgumentError`, `UnknownFanOutError`, `NotDeployedError`.
    """
    check_fan_out(options.org_id, options.entity, None)
    key = sync_key(options.org_id, options.entity, options.epoch, FAN_OUT_SCOPE)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            await _known_fan_out(connection, key)
    finally:
        await database.aclose()
    parameters = {"org_id": options.org_id, "entity": options.entity, "epoch": options.epoch}
    run = await start_deployment(REPLAY_CHILDREN, parameters)
    announced = announce(run, console)
    if options.no_watch:
        return end_with(announced, "", console, as_json=options.json)
    ended = await end_of_flow_run(run.id, console)
    if ended.state is None or not ended.state.is_completed():
        failure = failure_of(ended)
        return end_with(failure, failure.reason, console, as_json=options.json)
    console.print(ended.state.message or "", highlight=False, markup=False, soft_wrap=True)
    return await _watch_to_the_end(key, None, options, console)


async def _watch_to_the_end(key: str, flow_run_id: UUID | None, options: argparse.Namespace, console: Console) -> int:
    result: FanOutSummary | Failure
    try:
        await watch_fan_out(key, console, flow_run_id=flow_run_id)
        if not console.is_terminal:
            console.print()  # the last line of what was shown live has no end there
        result = await _result(key, console)
    except EndedBeforeItBeganError as error:
        result = error.failure
    except asyncio.CancelledError:
        console.print("no longer watched; the fan-out goes on, and `cancel` stops it")
        raise
    if isinstance(result, Failure):
        return end_with(result, result.reason, console, as_json=options.json)
    if not options.json:
        await show_mirror(options.org_id, console)
    return end_with(result, result.told, console, as_json=options.json)


async def _result(key: str, console: Console) -> FanOutSummary:
    """By the ledger, when it is known what is missing, too; if that takes long, the summary says so."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    until = time.monotonic() + PATIENCE_WITH_DELETIONS
    try:
        with console.status("all lists are read; waiting to be told what is missing from them"):
            while True:
                async with database.transaction() as connection:
                    facts = await facts_by_key(connection, key)
                assert facts is not None, "it was watched to its end"
                if not facts.is_unsettled or time.monotonic() > until:
                    return summarize_fan_out(facts)[0]
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await database.aclose()


async def _is_to_be_continued(key: str) -> bool:
    """Whether the ledger has it and it is not complete, whatever a flow run of that key said when it ended."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            run = await find_by_key(connection, key)
    finally:
        await database.aclose()
    return run is not None and run.state != "completed"


async def _known_fan_out(connection: AsyncConnection, key: str) -> RunHandle:
    """The fan-out with this key. Raises `UnknownFanOutError`."""
    root = await find_fan_out(connection, key)
    if root is None:
        raise UnknownFanOutError(f"the ledger has no fan-out {key}; `fan-outs` lists those there are")
    return root


async def show_fan_outs(options: argparse.Namespace, console: Console) -> int:
    """Every fan-out of a church, and the children that are dead."""
    check_arguments(options.org_id)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            facts = await fan_out_facts(connection, options.org_id)
            dead = await list_dead(connection, options.org_id)
    finally:
        await database.aclose()
    found = [summarize_fan_out(one)[0] for one in sorted(facts, key=lambda one: one.run_id)]
    if options.json:
        told = [{"key": one.key, "attempts": one.attempts, "error": one.error} for one in dead]
        fan_outs = [one.model_dump(mode="json", exclude={"submitted_here", "seconds"}) for one in found]
        print_document({"org_id": options.org_id, "fan_outs": fan_outs, "dead": told})
        return DONE
    table = Table(title=f"Fan-outs of {options.org_id}", title_justify="left")
    table.add_column("resource", overflow="fold")
    table.add_column("epoch", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("dead", justify="right", no_wrap=True)
    for one in found:
        done = f"{one.done:,}/{one.children:,}"
        table.add_row(one.entity, one.epoch, one.outcome, done, f"{one.rows:,}", f"{one.dead:,}")
    console.print(table)
    for one in found:
        if one.reason:
            line = f"{one.entity} {one.epoch}: {one.outcome}: {one.reason}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    for child in dead:
        console.print(f"dead: {child.key} after {child.attempts} attempts: {child.error}", markup=False, soft_wrap=True)
    return DONE


async def cancel(options: argparse.Namespace, console: Console) -> int:
    """Let no child start any more, and the running ones stop. Raises `WrongArgumentError`, `UnknownFanOutError`."""
    check_fan_out(options.org_id, options.entity, None)
    key = sync_key(options.org_id, options.entity, options.epoch, FAN_OUT_SCOPE)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            root = await _known_fan_out(connection, key)
            stopped = await cancel_fan_out(connection, root.run_id)
    finally:
        await database.aclose()
    said = "cancelled; the same fan-out started again continues it" if stopped else "there was nothing to stop"
    console.print(f"{key}: {said}", highlight=False, soft_wrap=True)
    return DONE
