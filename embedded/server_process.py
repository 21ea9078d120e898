"""One server as a detached process that is found again by the next command, by pid and start time."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


class ServerStartError(Exception):
    """A server ended or stayed silent while starting; the message shows the end of its log."""


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A server's record in the data folder: who it is while it runs, its log, and the port it had last."""

    name: str
    home: Path

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return self.home / f"{self.name}.json"

    @property
    def _port_file(self) -> Path:
        return self.home / f"{self.name}.port"

    def last_port(self) -> int | None:
        """Where the server listened when it ran last: others go on asking there."""
        try:
            return int(self._port_file.read_text())
        except (OSError, ValueError):
            return None

    def running(self) -> Mapping[str, int] | None:
        """The facts `start` was given, if that very process still runs."""
        try:
            facts: dict[str, int | float] = json.loads(self._record.read_text())
            process = psutil.Process(int(facts["pid"]))
            started, is_dead = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        if is_dead or abs(started - facts["started"]) > 0.01:
            return None
        return {key: int(value) for key, value in facts.items()}

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
        facts: Mapping[str, int],
        listens_on: int | None = None,
        patience: float = 60.0,
    ) -> None:
        """Start the command in a session of its own and wait until it is ready. Raises `ServerStartError`.

        With `listens_on` it is not ready before it listens on that port itself: another server may answer instead.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=self.home,
                start_new_session=True,
            )
        record = {**facts, "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        self._record.write_text(json.dumps(record))
        if "port" in facts:
            self._port_file.write_text(str(facts["port"]))
        deadline = time.monotonic() + patience
        try:
            while not (is_ready() and (listens_on is None or _listens(process.pid, listens_on))):
                if process.poll() is not None:
                    raise ServerStartError(f"{self.name} ended with code {process.returncode}: {self._last_words()}")
                if time.monotonic() > deadline:
                    raise ServerStartError(f"{self.name} was not ready in {patience:g} s: {self._last_words()}")
                time.sleep(0.05)
        except BaseException:
            self.stop()
            process.wait()
            raise
        # It runs on without us and is found by its record; a Popen that is dropped while its child runs would warn.
        process.returncode = 0

    def stop(self, patience: float = 15.0) -> bool:
        """End the process and its children; whether there was one."""
        running = self.running()
        if running is None:
            self._record.unlink(missing_ok=True)
            return False
        process = psutil.Process(running["pid"])
        alive = [process, *process.children(recursive=True)]
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for one in alive:
                with suppress(psutil.NoSuchProcess):
                    end(one)
            _, alive = psutil.wait_procs(alive, timeout=patience)
        self._record.unlink(missing_ok=True)
        return True

    def _last_words(self) -> str:
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-1500:].strip() or "it said nothing"
        return "it left no log"


def _listens(pid: int, port: int) -> bool:
    """Whether the process, or one of its children, listens on the port; what is just ending shows its user nothing."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(
                    found.status == psutil.CONN_LISTEN and found.laddr.port == port
                    for found in one.net_connections("tcp")
                ):
                    return True
    return False


def free_port(preferred: int | None = None) -> int:
    """A loopback port nobody listens on: the preferred one if possible."""
    for port in [preferred, 0] if preferred else [0]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port or 0))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise ServerStartError("no free port on 127.0.0.1")


def on_free_port(preferred: int, start: Callable[[int], None]) -> None:
    """Start a server on the preferred port if possible, and elsewhere if somebody else takes the port meanwhile.

    Raises `ServerStartError`.
    """
    port = free_port(preferred)
    try:
        start(port)
    except ServerStartError:
        other = free_port(port)
        if other == port:
            raise
        start(other)


def inherited_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead a server of ours astray, and with `more`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PCO_SYNC_", "PG"))}
    return {**kept, **more}
