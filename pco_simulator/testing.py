"""A simulator in a process of its own, for tests and benchmarks."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx


class SimulatorProcess:
    """Started on entry, ended on exit. The methods talk to its control paths."""

    app_id = "test-application"
    secret = "test-secret"  # noqa: S105 - opens nothing but the simulator

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.base_url = ""
        self._process: subprocess.Popen[str] | None = None
        self._http: httpx.Client | None = None

    def __enter__(self) -> "SimulatorProcess":
        command = [sys.executable, "-m", "pco_simulator", "--app-id", self.app_id, "--secret", self.secret]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, *self._arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator ended with code {self._process.wait()}")
        self.base_url = json.loads(line)["base_url"]
        self._http = httpx.Client(base_url=f"{self.base_url}/_simulator", timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._http is not None:
            self._http.close()
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def access_log(self) -> list[dict[str, Any]]:
        """Every request of the API since the start or `forget`."""
        log: list[dict[str, Any]] = self._ask("GET", "access_log")
        return log

    def stats(self) -> dict[str, Any]:
        """`requests`, `refused` (429), `most_in_a_period` by application id."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    def state(self, entity: str) -> list[dict[str, Any]]:
        """Every record of an entity as it is now."""
        state: list[dict[str, Any]] = self._ask("GET", f"state/{entity}")
        return state

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Replace the faults in force."""
        self._ask("POST", "faults", list(faults))

    def churn(self, *changes: Mapping[str, Any]) -> None:
        """Change the world at once, or `after_request`."""
        self._ask("POST", "churn", list(changes))

    def limits(self, **rules: Any) -> None:
        """Change the rate rules: `limit`, `period`, `deep_limit`, `kind`."""
        self._ask("POST", "limits", rules)

    def latency(self, seconds: float) -> None:
        """Change the mean latency."""
        self._ask("POST", "latency", {"seconds": seconds})

    def forbid(self, *products: str) -> None:
        """The products that answer 403."""
        self._ask("POST", "forbid", list(products))

    def forget(self) -> None:
        """Empty the access log and the rate windows."""
        self._ask("POST", "forget")

    def _ask(self, method: str, path: str, told: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        assert self._http is not None
        answer = self._http.request(method, path, json=told)
        if answer.status_code != httpx.codes.OK:
            raise ValueError(answer.text)
        return answer.json()
