"""A program of `benchmarks/programs` in a process of its own: started, let go when it is ready, measured, or killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

PROJECT = Path(__file__).resolve().parent.parent


class ProgramFailedError(Exception):
    """A measured program ended without a result; the message shows the end of what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a program measured of itself, and what was seen from outside.

    `work_seconds` is from the call of the work to its end, after the imports; `process_seconds` from the start of the
    process to its end. `cpu_seconds` is the whole process's.
    """

    pages: int
    rows: int
    began_at: float
    work_seconds: float
    work_cpu_seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_rss_mb: float


class ProgramRun:
    """Started on entry, ended on exit however that happens."""

    def __init__(self, program: str, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", f"benchmarks.programs.{program}", *arguments]
        self._environment = dict(environment)
        self._log = log
        self._started = 0.0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=PROJECT,
                text=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._running.pid

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._running.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait until the program has done its imports. Raises `ProgramFailedError`."""
        self._read()

    def go(self) -> None:
        """Let it begin, now or as soon as it is ready."""
        stdin = self._running.stdin
        assert stdin is not None
        stdin.write("go\n")
        stdin.flush()

    def result(self) -> Result:
        """Wait for the end. Raises `ProgramFailedError`."""
        told = self._read()
        if "ready" in told:
            told = self._read()
        process = self._running
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.perf_counter()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise ProgramFailedError(f"{self._command} ended with code {process.returncode}: {self._last_words()}")
        return Result(**told, process_seconds=ended - self._started, cpu_seconds=usage.ru_utime + usage.ru_stime)

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        self._running.kill()
        self._running.wait()

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def _read(self) -> dict[str, Any]:
        stdout = self._running.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            code = self._running.wait()
            raise ProgramFailedError(f"{self._command} ended with code {code}: {self._last_words()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-3000:].strip()


def cpu_seconds(pid: int) -> float:
    """Of a process, its descendants, and those of them that have ended and were waited for."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
