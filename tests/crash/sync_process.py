"""A sync in a process of its own that can be killed, stopped and waited for.

The processes are forked from one that has imported everything already: they start in no time.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from tests.forked_programs import forking
from tests.stack import wait_until

UNHURRIED_MS: Final = 400
"""How long Planning Center takes for each page, so that a sync of some pages is not over while a test looks at it."""
PATIENCE: Final = 60.0
START_PATIENCE: Final = 180.0
"""The first one waits for all that is imported, on a machine that may be busy with something else."""


class SyncProcess:
    """Started on entry, killed on exit if it still runs. `parameters` are those of the flow."""

    def __init__(self, environment: Mapping[str, str], folder: Path, **parameters: Any) -> None:
        self._told = folder / f"{id(self)}.json"
        self.log = folder / f"{id(self)}.log"
        self._process = forking.Process(
            target=_run, args=(dict(environment), parameters, str(self._told), str(self.log))
        )

    def __enter__(self) -> Self:
        self._process.start()
        wait_until(self.log.exists, "the process has begun", seconds=START_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(PATIENCE)

    def pause(self) -> None:
        """Let it sleep, with all it holds."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had happened."""
        os.kill(self._pid, signal.SIGCONT)

    def told_so_far(self) -> str:
        """What it has printed."""
        return self.log.read_text() if self.log.exists() else ""

    def result(self) -> dict[str, Any]:
        """Wait for its end; `state` and `message` of the flow run."""
        self._process.join(PATIENCE)
        assert not self._process.is_alive(), f"it still runs after {PATIENCE:g} s: {self.log.read_text()[-2000:]}"
        assert self._told.exists(), f"it ended with code {self._process.exitcode}: {self.log.read_text()[-2000:]}"
        told: dict[str, Any] = json.loads(self._told.read_text())
        return told

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid


def _run(environment: Mapping[str, str], parameters: Mapping[str, Any], told: str, log: str) -> None:
    """In the new process: run the flow, and write down how it ended."""
    os.environ.update(environment)
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_HOME: Path(environment["PREFECT_HOME"]),
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
    }
    with temporary_settings(settings):
        from flows.sync_entity import sync_entity

        state = sync_entity(**parameters, return_state=True)
        ended = {"state": state.name, "message": state.message, "flow_run_id": str(state.state_details.flow_run_id)}
        Path(told).write_text(json.dumps(ended))
    sys.stdout.flush()
