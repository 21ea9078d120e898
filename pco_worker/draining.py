"""The worker's last minute: let runs finish, stop the others, give back what does not stop."""

import asyncio
import time
from collections.abc import Callable

from pco_worker.runs.active_run import StopReason
from pco_worker.runs.running import Running


async def drain(
    running: Running, *, seconds: float, cleanup_seconds: float, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Return when no run is left, or when each one left was given back to the work pool."""
    if count := len(running.active()):
        tell(f"Waiting up to {seconds:g} s for {count} runs to finish")
    if await _is_idle(running, seconds):
        return
    left = running.active()
    tell(f"Stopping {len(left)} runs; another worker continues them")
    for one in left:
        running.stop_run(one, StopReason.DRAINED)
    if await _is_idle(running, cleanup_seconds):
        return
    left = running.active()
    tell(f"{len(left)} runs did not stop in {cleanup_seconds:g} s and are cut off")
    told = await asyncio.gather(*(running.give_back(one, seconds=cleanup_seconds) for one in left))
    if silent := told.count(False):
        tell(f"The Prefect API did not take back {silent} of them; the recovery continues those")


async def _is_idle(running: Running, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while running.active():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.05)
    return True
