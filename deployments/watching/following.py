"""The one loop of all that is watched: look, show, and look again until it is over."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from deployments.interrupts import interrupts
from deployments.terminal import print_plain

LOOK_SECONDS: Final = 0.4
PRINT_EVERY: Final = 15.0
"""Seconds between lines where the output is no terminal."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look has seen: a line for a log, what a terminal shows in its place, and whether that is the end."""

    line: str
    shown: RenderableType | None = None
    is_over: bool = False


async def follow(
    look: Callable[[float], Awaitable[Look]], console: Console, *, print_every: float = PRINT_EVERY, parting: str
) -> None:
    """Show what `look` sees until it is over; it is given the seconds that it has lasted.

    `parting` is what a person is told who interrupts it: what is watched goes on.
    """
    begun = printed = time.monotonic()
    with ExitStack() as shown:
        shown.enter_context(interrupts.parting(parting))
        live = shown.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        while True:
            seen = await look(time.monotonic() - begun)
            if live is not None:
                live.update(seen.shown or Text(f"  {seen.line}", no_wrap=True, overflow="ellipsis"), refresh=True)
            elif seen.is_over or time.monotonic() - printed >= print_every:
                printed = time.monotonic()
                print_plain(console, f"  {seen.line}")
            if seen.is_over:
                return
            await asyncio.sleep(LOOK_SECONDS)
