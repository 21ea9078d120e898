"""`quarantine` and `replay-quarantine`: list what stands aside, and try it again."""

import argparse
import asyncio
import os
import time
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.utilities.urls import url_for
from rich.console import Console

from deployments.arguments import check_arguments, check_mirrored
from deployments.names import REPLAY_QUARANTINE
from pco_store.database import Database
from pco_store.quarantine import OpenItem, list_quarantined
from tasks.starting import start_deployment

AT_ONCE: Final = 200
LOOK_SECONDS: Final = 0.5
PATIENCE_FOR_A_WORKER: Final = 30.0
"""Seconds after which we ask whether there is a worker at all."""


async def show_quarantine(options: argparse.Namespace, console: Console) -> int:
    """Every open item of a church, oldest first; never its raw record. Raises `WrongArgumentError`."""
    _check(options)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    shown, after = 0, 0
    try:
        while True:
            async with database.transaction() as connection:
                items = await list_quarantined(connection, options.org_id, options.entity, after=after, limit=AT_ONCE)
            for item in items:
                console.print(_told(item), markup=False, highlight=False, soft_wrap=True)
            shown += len(items)
            if len(items) < AT_ONCE:
                break
            after = items[-1].quarantine_id
    finally:
        await database.aclose()
    console.print(f"{shown} open in the quarantine of {options.org_id}", highlight=False)
    return 0


async def replay_quarantine(options: argparse.Namespace, console: Console) -> int:
    """Start the replay, wait for its end, say what came of it. Raises `WrongArgumentError`, `NotDeployedError`."""
    _check(options)
    run = await start_deployment(REPLAY_QUARANTINE, {"org_id": options.org_id, "entity": options.entity})
    console.print(f"started: {run.name}", highlight=False)
    console.print(f"  {url_for(run)}", soft_wrap=True)
    if options.no_watch:
        return 0
    state = await _end_of(run.id, console)
    console.print(f"{state.name}: {state.message}", highlight=False, markup=False, soft_wrap=True)
    return 0 if state.is_completed() else 1


def _check(options: argparse.Namespace) -> None:
    check_arguments(options.org_id)
    if options.entity is not None:
        check_mirrored(options.entity)


def _told(item: OpenItem) -> str:
    what = f"record {item.record_id}" if item.record_id is not None else f"the record at offset {item.offset}"
    since = f"since {item.observed_at:%Y-%m-%d %H:%M:%S %Z}"
    return f"{item.quarantine_id}  {item.entity}  {what}  {since}  {item.reason}"


async def _end_of(flow_run_id: UUID, console: Console) -> State:
    begun, asked = time.monotonic(), False
    async with get_client() as client:
        while True:
            state = (await client.read_flow_run(flow_run_id)).state
            if state is not None and state.is_final():
                return state
            is_waiting = state is None or state.is_scheduled() or state.is_pending()
            if is_waiting and not asked and time.monotonic() - begun > PATIENCE_FOR_A_WORKER:
                asked = True
                console.print("it waits for a worker; is one running? `make worker` starts one")
            await asyncio.sleep(LOOK_SECONDS)
