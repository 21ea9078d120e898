"""Shows that a step of a command is alive: a spinner with its seconds on a terminal, lines now and then in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner

SIGN_EVERY: Final = 4.0
"""Seconds between lines where the output is no terminal; nobody should wait longer than five for a sign."""


class Waiting:
    """What is waited for; `what` may change while it lasts."""

    def __init__(self, console: Console) -> None:
        self.what = ""
        self._console = console
        self._begun = self._last = time.monotonic()
        self._over = threading.Event()
        self._spinner = Spinner("dots", style="dim")

    def show(self, what: str) -> None:
        """Say what is waited for from now on; in a log it is a line at once."""
        self.what, self._begun = what, time.monotonic()
        if not self._console.is_terminal:
            self._print(what)

    def update(self, what: str) -> None:
        """How far it is by now; in a log it is part of the next line."""
        self.what = what

    def __rich__(self) -> RenderableType:
        seconds = time.monotonic() - self._begun
        told = f"{self.what} ({seconds:.0f} s)" if seconds >= 2 else self.what
        self._spinner.update(text=told)
        return self._spinner if self.what else ""

    def print_until_over(self) -> None:
        """A line now and then that says how long it takes by now."""
        while not self._over.wait(timeout=max(self._last + SIGN_EVERY - time.monotonic(), 0.05)):
            if time.monotonic() - self._last >= SIGN_EVERY and self.what:
                self._print(f"{self.what}, {time.monotonic() - self._begun:.0f} s")

    def end(self) -> None:
        """No more lines."""
        self._over.set()

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.print(f"  {line}", style="dim", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def waiting(console: Console, what: str = "") -> Iterator[Waiting]:
    """Show `what` as long as the block lasts; what the block prints appears above it."""
    shown = Waiting(console)
    if what:
        shown.show(what)
    if console.is_terminal:
        with Live(shown, console=console, transient=True, refresh_per_second=8):
            yield shown
        return
    thread = threading.Thread(target=shown.print_until_over, daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        shown.end()
        thread.join()
