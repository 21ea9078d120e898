"""A simulator in a process of its own, for tests and benchmarks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_ROOT = Path(__file__).resolve().parents[1]


class SimulatorProcess:
    """Started on entry, ended on exit; it ends by itself when this process is gone, however that ended.

    `arguments` are any others of `python -m pco_simulator`. The methods talk to its control paths, and raise
    `ValueError` with its words when it does not understand.
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
        rate_limit: str = "none",
        rate_window: str = "sliding",
        latency_ms: float = 0,
        forbid: Iterable[str] = (),
        prepare: Iterable[str] = (),
        replay: Path | None = None,
        app_id: str = "test-application",
        secret: str = "test-secret",  # noqa: S107 - opens nothing but the simulator
    ) -> None:
        self.app_id = app_id
        self.secret = secret
        self.base_url = ""
        self.pid = 0
        self._arguments = [
            "--people", str(people), "--groups", str(groups), "--seed", str(seed), "--rate-limit", rate_limit,
            "--rate-window", rate_window, "--latency-ms", str(latency_ms),
            *(("--volunteers", str(volunteers)) if volunteers is not None else ()),
            *(("--plans", str(plans)) if plans is not None else ()),
            *(("--now", now.isoformat()) if now else ()),
            *(part for product in forbid for part in ("--forbid", product)),
            *(part for name in prepare for part in ("--prepare", name)),
            *(("--replay", str(replay)) if replay else ()),
            *arguments,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None
        self._http: httpx.Client | None = None

    def __enter__(self) -> Self:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "pco_simulator", "--end-with-stdin", *self._arguments],
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PCO_SIMULATOR_APP_ID": self.app_id,
                "PCO_SIMULATOR_SECRET": self.secret,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise RuntimeError(f"the simulator ended with code {self._process.returncode} before it was ready")
        ready = json.loads(line)
        self.base_url, self.pid = ready["base_url"], ready["pid"]
        self._http = httpx.Client(base_url=f"{self.base_url}/_simulator", timeout=60, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            self._http.close()
        self._end()

    def access_log(self) -> list[dict[str, Any]]:
        """Every request of the API since the start or `reset_log` (`Access` in `access_log.py`)."""
        log: list[dict[str, Any]] = self._ask("GET", "access_log")
        return log

    def stats(self) -> dict[str, Any]:
        """`requests`, `refused` (429s), `max_in_window`, `by_status`, `faults_fired` and more."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    def state(self, entity_name: str) -> list[dict[str, Any]]:
        """Every record of an entity as it is now, in the order of the ids."""
        state: list[dict[str, Any]] = self._ask("GET", f"state/{entity_name.replace('.', '/')}")
        return state

    def faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Replace the faults in force (`Fault` in `faults.py`)."""
        self._ask("POST", "faults", faults)

    def churn(self, changes: Sequence[Mapping[str, Any]]) -> list[int]:
        """Change the world (`Change` in `churn.py`); the ids of the records that were changed at once."""
        ids: list[int] = self._ask("POST", "churn", changes)["ids"]
        return ids

    def rate_limit(self, **rules: Any) -> None:
        """Change some of `limit` (None: no limit), `period`, `deep_limit`, `window`, `count_refused`.

        With `after_request` the `limit` drops after so many requests.
        """
        self._ask("POST", "rate_limit", rules)

    def latency(self, ms: float) -> None:
        """Change the mean latency."""
        self._ask("POST", "latency", {"ms": ms})

    def ignore(self, names: Sequence[str]) -> None:
        """Let these attributes not be filtered or ordered by any more, and no others; the answers still name them."""
        self._ask("POST", "ignore", names)

    def cap(self, records: int | None, *, counts_only: bool = False) -> None:
        """Let no list count more records than that, nor show them unless it is about the counts only."""
        self._ask("POST", "cap", {"records": records, "counts_only": counts_only})

    def clock(self, *, ahead_seconds: float) -> None:
        """Let PCO's clock be ahead of this machine's, or behind it."""
        self._ask("POST", "clock", {"seconds": ahead_seconds})

    def forbid(self, products: Sequence[str]) -> None:
        """Let these products answer 403, and no others."""
        self._ask("POST", "forbid", products)

    def reset_log(self) -> None:
        """Empty the access log and the rate windows: the next request is number 1."""
        self._ask("POST", "reset_log")

    def _ask(self, method: str, path: str, told: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        assert self._http is not None
        answer = self._http.request(method, path, json=told)
        if answer.status_code != httpx.codes.OK:
            raise ValueError(answer.json()["error"])
        return answer.json()

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
