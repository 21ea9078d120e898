"""The embedded servers as one program in the foreground, for a supervisor."""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console

from deployments.exit_codes import DONE
from deployments.interrupts import SIGNALS
from deployments.service.states import ServiceError
from deployments.terminal import terminal

if TYPE_CHECKING:
    from embedded.services import Services

LOCK: Final = "foreground.lock"
LOOK_EVERY: Final = 2.0
"""Seconds. A look costs no request: only whether the processes are there."""


def stay(services: "Services", start: Callable[[], None]) -> int:
    """Start the servers, start again what ends, and stop them all on a signal. Raises what `start` raises.

    A server that runs and does not answer is left to a person and `up`: it may be busy, and restarting it could be
    what keeps it so. Raises `ServiceError` if another process does the same.
    """
    console = terminal()
    with _alone(services):
        return _stay(services, start, console)


def foreground_process(services: "Services") -> str | None:
    """The process that stays with these servers, and would start again what others stop; None if there is none."""
    with (services.home / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            return lock.read().strip() or "unknown"
    return None


@contextmanager
def _alone(services: "Services") -> Iterator[None]:
    """The kernel gives the lock back however this process ends."""
    with (services.home / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError("`pco-sync up --foreground` runs already in this data folder") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _stay(services: "Services", start: Callable[[], None], console: Console) -> int:
    try:
        start()
        tell_supervisor("READY=1")
        console.print("the servers are up")
        try:
            while True:
                if not services.is_running:
                    services.start(console.print)
                    services.keep()
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            return DONE
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        tell_supervisor("STOPPING=1")
        for name in services.stop():
            console.print(f"stopped {name}")


def tell_supervisor(word: str) -> None:
    """Tell systemd where we are (sd_notify); nobody listens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect("\0" + address[1:] if address.startswith("@") else address)
        one.sendall(word.encode())
