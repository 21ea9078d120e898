"""Ctrl-C and its like: the first request ends a command in order, a later one at once, and none shows a traceback."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from deployments.exit_codes import INTERRUPTED

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONE_REQUEST: Final = 1.0
"""Seconds within which several signals are one request: a terminal, make and a supervisor send one each."""

LAST_WORDS: Final = "interrupted; start it again and it continues"

Result = TypeVar("Result")


class Interrupts:
    """The signals of one command."""

    def __init__(self) -> None:
        self._requested: float | None = None
        self._cancel: asyncio.Task[Any] | None = None
        self.last_words = LAST_WORDS

    @contextmanager
    def parting(self, words: str) -> Iterator[None]:
        """What is said if a signal ends the block, in place of what is said elsewhere."""
        self.last_words = words
        yield
        self.last_words = LAST_WORDS

    def begin(self) -> None:
        """Take the signals from now on, but for those that nohup or a shell's `&` has switched off."""
        self._requested, self.last_words = None, LAST_WORDS
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """`asyncio.run`, with a coroutine that is cancelled by the first signal. Raises `KeyboardInterrupt` then."""
        try:
            return asyncio.run(self._as_main(coroutine))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    async def _as_main(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        self._cancel = asyncio.current_task()
        try:
            return await coroutine
        finally:
            self._cancel = None

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        now = time.monotonic()
        if self._requested is not None:
            if now - self._requested >= ONE_REQUEST:
                sys.stderr.flush()
                os._exit(INTERRUPTED)
            return
        self._requested = now
        if self._cancel is None:
            raise KeyboardInterrupt
        loop = self._cancel.get_loop()
        self._cancel.cancel()
        loop.call_soon_threadsafe(lambda: None)  # else it sleeps on until its next timer


interrupts: Final = Interrupts()
"""Those of this process."""
