"""A simulator in a process of its own, for tests and benchmarks."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from pco_simulator.churches import nth_credential
from pco_simulator.controls import Church

_ROOT = Path(__file__).resolve().parents[1]


class SimulatorProcess(Church):
    """Started on entry, ended on exit; it ends by itself when this process is gone, however that ended.

    `arguments` are any others of `python -m pco_simulator`.
    """

    def __init__(
        self,
        *arguments: str,
        people: int = 1000,
        groups: int = 50,
        volunteers: int | None = None,
        plans: int | None = None,
        seed: int = 1,
        now: datetime | None = None,
        sizes: Mapping[str, int] | None = None,
        churches: int = 1,
        rate_limit: str = "none",
        rate_window: str = "sliding",
        latency_ms: float = 0,
        forbid: Iterable[str] = (),
        prepare: Iterable[str] = (),
        replay: Path | None = None,
        app_id: str = "test-application",
        secret: str = "test-secret",  # noqa: S107 - opens nothing but the simulator
    ) -> None:
        super().__init__(app_id=app_id, secret=secret)
        self.pid = 0
        self._arguments = [
            "--people", str(people), "--groups", str(groups), "--seed", str(seed), "--rate-limit", rate_limit,
            "--rate-window", rate_window, "--latency-ms", str(latency_ms),
            *(("--volunteers", str(volunteers)) if volunteers is not None else ()),
            *(("--plans", str(plans)) if plans is not None else ()),
            "--churches", str(churches),
            *(("--now", now.isoformat()) if now else ()),
            *(part for name, size in (sizes or {}).items() for part in ("--size", f"{name}={size}")),
            *(part for product in forbid for part in ("--forbid", product)),
            *(part for name in prepare for part in ("--prepare", name)),
            *(("--replay", str(replay)) if replay else ()),
            *arguments,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        ready = json.loads(self._begin())
        self.base_url, self.pid = ready["base_url"], ready["pid"]
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it speaks plain HTTP; to read all authorities takes a while
        self._http = httpx.Client(base_url=f"{self.base_url}/_simulator", timeout=60, trust_env=False, verify=nobody)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            self._http.close()
        self._end()

    def church(self, number: int) -> Church:
        """One of several churches, counted from 0; the first one is also this object itself."""
        app_id, secret = nth_credential(self.app_id, self.secret, number)
        assert self._http is not None
        return Church(app_id=app_id, secret=secret, base_url=self.base_url, http=self._http)

    @property
    def _words(self) -> list[str]:
        """What Python is started with."""
        return ["-m", "pco_simulator", "--end-with-stdin", *self._arguments]

    @property
    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        ours = {"PCO_SIMULATOR_APP_ID": self.app_id, "PCO_SIMULATOR_SECRET": self.secret}
        return {**os.environ, "PYTHONPATH": path, **ours}

    def _begin(self) -> str:
        """Start it; the line it prints when it is ready. Raises `RuntimeError`."""
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, *self._words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise RuntimeError(f"the simulator ended with code {self._process.returncode} before it was ready")
        return line

    def _end(self) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
