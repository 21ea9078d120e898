"""Warm workers as processes, and deployments for them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling

from embedded.server_process import inherited_environment
from tests.forked_programs import ForkedProgram
from tests.stack import Stack, wait_until

ROOT = Path(__file__).parent.parent.parent
FLOWS = "tests/acceptance/warm_flows"
HERE = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
PATIENCE = 60.0
"""Seconds. A busy machine takes its time; a test that waits for what does not come fails after it."""

BRISK = {
    "PREFECT_WORKER_QUERY_SECONDS": "0.3",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.3",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "chatty",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PCO_WORKER_CANCEL_POLL_SECONDS": "0.5",
    "PCO_WORKER_DEPLOYMENT_CACHE_SECONDS": "0",  # tests deploy one name again and again, with other code behind it
}


def prefect(stack: Stack, *words: str) -> str:
    """What the command `prefect …` prints. Fails if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *words],
        env=inherited_environment(**stack.environment()),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Worker:
    """A running worker."""

    process: "subprocess.Popen[bytes] | ForkedProgram"
    output: Path

    def said(self) -> str:
        """Its output so far."""
        return self.output.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, patience: float = PATIENCE) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker does not end: {self.said()}")


class WorkerEndedError(Exception):
    """A worker ended before it had started."""


def _typed(
    shell: str, words: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path
) -> "subprocess.Popen[bytes]":
    """`python WORDS` in a shell that did something before."""
    with output.open("wb") as log:
        return subprocess.Popen(
            ["bash", "-c", f'{shell}; exec "$@"', "bash", sys.executable, *words],
            env=dict(environment),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def warm_worker(stack: Stack, pool: str, *options: str, shell: str = "", **environment: str) -> Iterator[Worker]:
    """`prefect worker start --pool …`, killed at the end if it still runs.

    With a `shell`, what that does before, a person types it there; else it is forked. Raises `WorkerEndedError`.
    """
    words = ("-m", "prefect", "worker", "start", "--pool", pool, *options)
    output = stack.home / f"worker-{pool}-{time.monotonic_ns()}.log"
    told = inherited_environment(**{**stack.environment(), **BRISK, **environment})
    process = (
        _typed(shell, words, told, stack.home, output)
        if shell
        else ForkedProgram(*words, environment=told, folder=stack.home, output=output, uses_prefect=True)
    )
    worker = Worker(process, output)
    try:
        wait_until(
            lambda: "started!" in worker.said() or process.poll() is not None,
            lambda: f"the worker says it started: {worker.said()}",
            seconds=PATIENCE,
        )
        if "started!" not in worker.said():
            raise WorkerEndedError(f"exit code {process.poll()}: {worker.said()}")
        yield worker
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Pool:
    """A work pool of the type `warm`, and what is deployed to it."""

    name: str
    client: SyncPrefectClient

    def deploy(self, flow: str, file: str = "everyday", **options: Any) -> UUID:
        """A deployment of one of the flows for tests."""
        options.setdefault("pull_steps", HERE)
        return self.client.create_deployment(
            flow_id=self.client.create_flow_from_name(flow.replace("_", "-")),
            name=f"{self.name}-{flow}",
            entrypoint=f"{FLOWS}/{file}.py:{flow}",
            work_pool_name=self.name,
            **options,
        )

    def start(self, deployment: UUID, **options: Any) -> FlowRun:
        """A run of it, to be run now."""
        return self.client.create_flow_run_from_deployment(deployment, **options)

    def state(self, run: FlowRun) -> State[Any]:
        """Where the run stands."""
        state = self.client.read_flow_run(run.id).state
        assert state is not None
        return state

    def wait_for(self, run: FlowRun, *names: str, seconds: float = PATIENCE) -> State[Any]:
        """Wait until the run is in one of these states."""
        deadline = time.monotonic() + seconds
        while (state := self.state(run)).name not in names:
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s for {names}; the run is {state.name}: {state.message}")
            time.sleep(0.1)
        return state

    def cancel(self, run: FlowRun) -> None:
        """What the button in the UI does."""
        self.client.set_flow_run_state(run.id, Cancelling())

    def history(self, run: FlowRun) -> list[str]:
        """The names of the states the run went through."""
        return [str(state.name) for state in self.client.read_flow_run_states(run.id)]

    def logs(self, run: FlowRun) -> list[str]:
        """What was logged in the run."""
        answer = self.client.request("POST", "/logs/filter", json={"logs": {"flow_run_id": {"any_": [str(run.id)]}}})
        return [str(line["message"]) for line in answer.json()]

    def wait_for_log(self, run: FlowRun, text: str) -> None:
        """Wait until the run's log has a line with this text."""
        wait_until(lambda: any(text in line for line in self.logs(run)), f"the log says {text!r}", seconds=PATIENCE)
