"""What both demos share: one at a time, on servers that end with it unless `make up` wants them to stay."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

from deployments.environment import complete_environment, embedded_services
from deployments.exit_codes import DONE, FAILED
from deployments.interrupts import SIGNALS
from deployments.terminal import terminal
from deployments.waiting import waiting

if TYPE_CHECKING:
    from embedded.services import Services

Demo = Callable[["Services", Console, ExitStack], bool]


class DemoRunsError(Exception):
    """A demo runs already in this data folder: a second one would end its simulator and its workers."""


def demonstrate(load: Callable[[], Demo]) -> int:
    """Run a demo, which `load` imports once its environment is complete. Raises `DemoRunsError`."""
    services, console = embedded_services(), terminal()
    with ExitStack() as running:
        running.enter_context(_only_demo(services))
        console.print("\n[bold]Planning Center to Postgres[/], with an invented church\n")
        if services.is_running:
            console.print("  the servers are up already and stay up", style="dim")
        else:
            running.callback(stop_servers, services, console)
        running.callback(_ignore_interrupts, console)
        with waiting(console) as shown:
            services.start(shown.show)
            complete_environment(services)
            shown.show("loading the demo")
            run = load()
        is_complete = run(services, console, running)
        if is_complete and sys.stdin.isatty() and sys.stdout.isatty():
            console.print("The church can be used from a second terminal. Ctrl-C ends the demo; the data stays.")
            with suppress(KeyboardInterrupt):
                signal.pause()
    return DONE if is_complete else FAILED


@contextmanager
def _only_demo(services: "Services") -> Iterator[None]:
    """Nobody else's demo runs meanwhile; the kernel gives the lock back however this process ends."""
    with (services.home / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise DemoRunsError(
                f"a demo runs already (process {pid}). Its church can be used from here: `make sync`; "
                "Ctrl-C in its terminal ends it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def stop_servers(services: "Services", console: Console) -> None:
    """Stop them unless `make up` wants them, whether or not anybody still reads what is printed about it."""
    if services.is_kept:
        console.print("the servers stay up, because `make up` was run meanwhile; `make down` stops them", style="dim")
        return
    try:
        with waiting(console, "stopping the servers"):
            services.stop()
    except OSError:  # the terminal or the pipe is gone
        services.stop()
        raise
    console.print("all stopped; `make demo` runs it again, `make up` keeps the servers running", style="dim")


def _ignore_interrupts(console: Console) -> None:
    """From here on only ends things; a second Ctrl-C must not leave half of them running."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    console.print("stopping what was started", style="dim")
