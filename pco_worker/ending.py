"""The first SIGTERM or Ctrl-C lets the worker drain, the second one ends it at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_by_signals(tell: Callable[[str], None]) -> Iterator[None]:
    """At the first signal the current task is cancelled, and the block ends as if it had returned.

    Must be entered in the main thread. Prefect's command answers SIGTERM with a SIGINT to itself, which is lost in a
    process that a script started in the background: a shell lets those ignore SIGINT, and SIGTERM would do nothing.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = {number: signal.getsignal(number) for number in SIGNALS}
    told: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        told.append(number)
        for one in SIGNALS:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        tell(f"Received {number.name}: taking no more runs; a second signal ends the worker at once")
        task.cancel()

    for one in SIGNALS:
        loop.add_signal_handler(one, end, one)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
    finally:
        if not told:
            for one, handler in before.items():
                loop.remove_signal_handler(one)
                signal.signal(one, handler)
