"""How a worker lives through a time without the Prefect API: it tries on, for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import httpx

T = TypeVar("T")

LONGEST: Final = 600.0
"""Seconds for which a state that must be told is told again. Prefect's client alone gives up after about one minute."""


def is_away(error: httpx.HTTPError) -> bool:
    """Whether the API could not answer, and not: did not like the question."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


async def until_told(tell: Callable[[], Awaitable[T]]) -> T:
    """Call until the API answers. Raises the last error when patience ends, and at once every other refusal."""
    for pause in _pauses():
        try:
            return await tell()
        except httpx.HTTPError as error:
            if pause is None or not is_away(error):
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def until_told_sync(tell: Callable[[], T]) -> T:
    """The same in the thread of a sync flow."""
    for pause in _pauses():
        try:
            return tell()
        except httpx.HTTPError as error:
            if pause is None or not is_away(error):
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def _pauses() -> Iterator[float | None]:
    """Seconds to wait after each failure; None when it was the last."""
    deadline = time.monotonic() + LONGEST
    pause = 0.5
    while time.monotonic() < deadline:
        yield pause
        pause = min(2 * pause, 10)
    yield None
