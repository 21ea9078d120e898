"""Flows that a warm worker runs in the tests. They say what they do by files in a folder."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from prefect import Flow, flow, get_run_logger, task
from prefect.client.schemas.objects import FlowRun, State

LONG = 600
"""Seconds; no test waits that long."""


def sign(folder: str, text: str) -> None:
    """Leave a sign that the test looks for."""
    (Path(folder) / text).touch()


async def until(folder: str, text: str) -> None:
    """Wait for a sign of the test or of another flow."""
    while not (Path(folder) / text).exists():  # noqa: ASYNC110 - it comes from another process
        await asyncio.sleep(0.05)


@flow
async def quick(number: int = 0) -> None:
    """Do nothing."""


def note_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """What a flow does when it is cancelled."""
    sign(flow_run.parameters["folder"], f"{flow_run.parameters['name']} hook")


@flow(on_cancellation=[note_cancellation])
async def waiting(folder: str, name: str) -> None:
    """Go on until the test says so."""
    sign(folder, f"{name} began")
    try:
        await until(folder, f"{name} may end")
    except asyncio.CancelledError:
        sign(folder, f"{name} cleaned up")
        raise
    sign(folder, f"{name} ended")


@flow
def waiting_sync(folder: str, name: str) -> None:
    """Go on until the test says so, in a thread."""
    sign(folder, f"{name} began")
    try:
        while not (Path(folder) / f"{name} may end").exists():
            time.sleep(0.05)
    finally:
        sign(folder, f"{name} cleaned up")


@flow
def deaf(folder: str, name: str) -> None:
    """Hang in one long call that nothing can interrupt, the first time."""
    sign(folder, f"{name} began")
    if (Path(folder) / f"{name} may end").exists():
        return
    time.sleep(LONG)


@flow
async def stubborn(folder: str, name: str) -> None:
    """Swallow the interruption and return as if nothing had been."""
    sign(folder, f"{name} began")
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        sign(folder, f"{name} heard it")


@flow(log_prints=True)
async def talking(folder: str, name: str, others: list[str]) -> None:
    """Log in all the ways there are while the others do the same."""
    sign(folder, f"{name} began")
    for other in others:
        await until(folder, f"{other} began")
    for count in range(5):
        get_run_logger().info("%s says %d to the run logger", name, count)
        logging.getLogger("chatty").warning("%s says %d to its own logger", name, count)
        print(f"{name} prints {count}")  # noqa: T201 - that is what is tested
        await asyncio.sleep(0.01)


@flow
async def recording(folder: str, name: str, seconds: float) -> None:
    """Note when it began and ended."""
    journal = Path(folder) / "journal"
    with journal.open("a") as lines:
        lines.write(f"began {name}\n")
    await asyncio.sleep(seconds)
    with journal.open("a") as lines:
        lines.write(f"ended {name}\n")


@task
async def step() -> None:
    """A place where a run can be suspended."""


@flow
async def stepping(folder: str, name: str) -> None:
    """Run one task after the other until the test says so."""
    sign(folder, f"{name} began")
    while not (Path(folder) / f"{name} may end").exists():
        await step()
        await asyncio.sleep(0.05)


@flow
async def failing(how: str) -> None:
    """End badly."""
    if how == "exception":
        raise ValueError("this went wrong")
    if how == "exit":
        raise SystemExit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "exit in a task":
        await asyncio.create_task(_leave())
    if how == "cancelled error":
        raise asyncio.CancelledError


async def _leave() -> None:
    raise SystemExit(3)


@flow
def failing_sync(how: str) -> None:
    """End badly in a thread."""
    if how == "exception":
        raise ValueError("this went wrong")
    raise SystemExit(3)
