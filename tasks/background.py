"""What goes on at once: steps that belong together, and what runs beside the work until that ends."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

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


async def in_parallel(steps: Iterable[Awaitable[T]]) -> list[T]:
    """All of them at once; the first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(step)) for step in steps]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _awaited(step: Awaitable[T]) -> T:
    return await step
