"""`quarantine` and `replay-quarantine`: list what stands aside, and try it again."""

import argparse
import os
from collections.abc import AsyncIterator
from typing import Any, Final

from rich.console import Console

from deployments.arguments import check_arguments, check_mirrored
from deployments.ended import Failure, announce, end_with, failure_of, print_document
from deployments.exit_codes import DONE
from deployments.provisioning.names import REPLAY_QUARANTINE
from deployments.watching.flow_runs import end_of_flow_run
from pco_store.database import Database
from pco_store.ledger.quarantine import OpenItem, list_quarantined
from tasks.deployment_runs import start_deployment
from tasks.reports.replay_summary import read_replay

AT_ONCE: Final = 200


async def show_quarantine(options: argparse.Namespace, console: Console) -> int:
    """Every open item of a church, oldest first; never its raw record. Raises `WrongArgumentError`."""
    _check(options)
    documents: list[dict[str, Any]] = []
    shown = 0
    async for item in _open_items(options):
        shown += 1
        if options.json:
            documents.append(_facts(item))
        else:
            console.print(_told(item), markup=False, highlight=False, soft_wrap=True)
    if options.json:
        print_document({"org_id": options.org_id, "open": shown, "items": documents})
    else:
        console.print(f"{shown} open in the quarantine of {options.org_id}", highlight=False)
    return DONE


async def replay_quarantine(options: argparse.Namespace, console: Console) -> int:
    """Start the replay, wait for its end, say what came of it. Raises `WrongArgumentError`, `NotDeployedError`."""
    _check(options)
    run = await start_deployment(REPLAY_QUARANTINE, {"org_id": options.org_id, "entity": options.entity})
    announced = announce(run, console)
    if options.no_watch:
        return end_with(announced, "", console, as_json=options.json)
    ended = await end_of_flow_run(run.id, console)
    if ended.state is None or not ended.state.is_completed():
        failure = failure_of(ended)
        return end_with(failure, failure.reason, console, as_json=options.json)
    summary = await read_replay(run.id)
    if summary is None:  # its table was not written; the state says the same, without the numbers
        outcome = "completed" if ended.state.name == "Completed" else "incomplete"
        without = Failure(outcome=outcome, reason=ended.state.message or "", flow_run=run.name)
        return end_with(without, without.reason, console, as_json=options.json)
    result = {"outcome": summary.outcome, **summary.model_dump(mode="json")}
    return end_with(result, summary.told, console, as_json=options.json)


async def _open_items(options: argparse.Namespace) -> AsyncIterator[OpenItem]:
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    after = 0
    try:
        while True:
            async with database.transaction() as connection:
                items = await list_quarantined(connection, options.org_id, options.entity, after=after, limit=AT_ONCE)
            for item in items:
                yield item
            if len(items) < AT_ONCE:
                return
            after = items[-1].quarantine_id
    finally:
        await database.aclose()


def _check(options: argparse.Namespace) -> None:
    check_arguments(options.org_id)
    if options.entity is not None:
        check_mirrored(options.entity)


def _told(item: OpenItem) -> str:
    what = f"record {item.record_id}" if item.record_id is not None else f"the record at offset {item.offset}"
    since = f"since {item.observed_at:%Y-%m-%d %H:%M:%S %Z}"
    return f"{item.quarantine_id}  {item.entity}  {what}  {since}  {item.reason}"


def _facts(item: OpenItem) -> dict[str, Any]:
    """An item for a program; without the raw record, which is the church's own."""
    return {
        "quarantine_id": item.quarantine_id,
        "entity": item.entity,
        "epoch": item.epoch,
        "scope": item.scope,
        "offset": item.offset,
        "record_id": item.record_id,
        "reason": item.reason,
        "observed_at": item.observed_at.isoformat(),
    }
