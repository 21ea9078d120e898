"""What a worker keeps alive beside its runs: async functions of the project, in the event loop of the flows."""

import asyncio
import importlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prefect.logging.loggers import get_logger

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0


class ResidentError(Exception):
    """A resident cannot be found; the message names it and says why."""


def find_resident(name: str) -> Callable[[], Awaitable[None]]:
    """The function named `module:function`, looked for from the working directory. Raises `ResidentError`."""
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Callable[[], Awaitable[None]] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ResidentError(f"PCO_WORKER_RESIDENTS: {name!r} cannot be found ({error})") from None
    return found


async def keep_alive(
    name: str,
    resident: Callable[[], Awaitable[None]],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Run it until it is cancelled; when it fails it is begun again, after waits that double up to a minute.

    One that has lived for longer than the longest wait begins with the first one again.
    """
    logger = get_logger("worker.warm.residents")
    wait = FIRST_WAIT_SECONDS
    while True:
        began = clock()
        try:
            await resident()
        except Exception:
            wait = FIRST_WAIT_SECONDS if clock() - began > LONGEST_WAIT_SECONDS else wait
            logger.exception("The resident %s failed and is begun again in %g s", name, wait)
        await sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)
