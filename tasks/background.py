"""Ends what runs beside the work: keepers of leases, tellers of progress, submitters."""

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 2.0
"""Longer than what is cancelled takes to clean up."""


async def interrupt(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel these and wait until they have ended, however they do.

    Once is not enough: a cancellation that meets a connection being opened can be lost in the libraries below, and a
    loop that goes on for ever would be waited for, for ever.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: else the loop complains of errors that nobody asked about
