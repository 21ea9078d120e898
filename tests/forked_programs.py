"""Python programs that start at once: each is forked from a process that has imported Prefect and us already.

They are real processes, with a session, environment, streams and working directory of their own, that signals reach.
What is about the start or the end of the interpreter itself is not for them.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from prefect.context import refresh_global_settings_context
from prefect.logging.configuration import setup_logging

forking: Final = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(
    [
        *("tests.forked_programs", "flows.sync_entity", "prefect.events.clients", "deployments.app"),
        *("prefect.cli.worker", "pco_worker.worker", "deployments.provisioning.provision"),
        *("pco_simulator.app", "pco_simulator.server", "uvicorn.protocols.http.httptools_impl", "uvloop"),
    ]
)
START_SECONDS: Final = 180.0
"""The first one waits for all that is imported, on a machine that may be busy with something else."""


class ForkedProgram:
    """`python WORDS`, begun; the first word is `-m`. Its output and errors are added to the file `output`.

    Where nothing else is named, errors go where output goes. Its input ends when this process does. Prefect, which was
    imported before the environment was this, looks at it again if the program `uses_prefect`.
    """

    def __init__(
        self,
        *words: str,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        errors: Path | None = None,
        uses_prefect: bool = False,
    ) -> None:
        has_begun, begins = forking.Pipe(duplex=False)
        stdin, self._alive = forking.Pipe(duplex=False)
        streams = (str(output), str(errors or output))
        self._process: ForkServerProcess = forking.Process(
            target=_become,
            args=(begins, stdin, streams, str(folder), dict(environment), words, uses_prefect),
        )
        self.returncode: int | None = None
        self._process.start()
        with has_begun, begins, stdin:
            begins.close()
            if not has_begun.poll(START_SECONDS):
                self._process.kill()
                raise TimeoutError(f"{words} did not begin within {START_SECONDS:g} s")
            has_begun.recv()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def wait_or_kill(self, seconds: float) -> None:
        """Wait for its end, and end it after that time."""
        self._process.join(seconds)
        self.send_signal(signal.SIGKILL)
        self.wait()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _become(
    begins: Connection,
    stdin: Connection,
    streams: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    words: Sequence[str],
    uses_prefect: bool,
) -> None:
    """In the new process: be the program."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(stdin.fileno(), 0)
    stdin.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for descriptor, path in enumerate(streams, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    begins.send(None)
    begins.close()
    if uses_prefect:
        refresh_global_settings_context()
        setup_logging(incremental=False)
    try:
        _run(words, folder)
    finally:
        atexit._run_exitfuncs()


def _run(words: Sequence[str], folder: str) -> None:
    """What `python WORDS` does."""
    _, module, *arguments = words
    sys.path.insert(0, folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
