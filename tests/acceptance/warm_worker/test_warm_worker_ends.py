"""What happens to the runs of a warm worker when it is told to end, or when the server goes away."""

import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from embedded import prefect_server
from embedded.services import PREFECT_DATABASE
from pco_worker.runs.engines import DRAINED_MESSAGE
from tests.acceptance.warm_workers import Pool, warm_worker
from tests.stack import Stack, wait_until

FLOWS = {"short": "waiting", "long": "waiting", "sync": "waiting_sync", "deaf": "deaf"}
IN_A_SCRIPT = "trap '' INT"
"""What a shell does for `prefect worker start … &` in a script."""


@pytest.mark.parametrize(
    ("told", "shell"),
    [(signal.SIGTERM, IN_A_SCRIPT), pytest.param(signal.SIGINT, "", marks=pytest.mark.nightly)],
)
def test_a_worker_that_is_told_to_end_drains(
    stack: Stack, own_pool: Pool, tmp_path: Path, told: signal.Signals, shell: str
) -> None:
    """What can finish finishes, the rest is stopped and given back, nothing new is taken; another worker continues."""
    deployments = {flow: own_pool.deploy(flow) for flow in set(FLOWS.values())}
    parameters = {name: {"folder": str(tmp_path), "name": name} for name in [*FLOWS, "late"]}
    runs = {name: own_pool.start(deployments[flow], parameters=parameters[name]) for name, flow in FLOWS.items()}
    brief = {"PCO_WORKER_DRAIN_SECONDS": "8", "PCO_WORKER_CLEANUP_SECONDS": "1"}
    with warm_worker(stack, own_pool.name, shell=shell, **brief) as worker:
        for name, run in runs.items():
            wait_until((tmp_path / f"{name} began").exists, f"{name} began", seconds=60)
            own_pool.wait_for(run, "Running")
        worker.send(told)
        wait_until(lambda: "Waiting up to 8 s for 4 runs" in worker.said(), "the worker drains")
        late = own_pool.start(deployments["waiting"], parameters=parameters["late"])
        (tmp_path / "short may end").touch()
        assert worker.end() == 0, worker.said()
    assert own_pool.state(runs["short"]).name == "Completed"
    for name in ("long", "sync", "deaf"):
        state = own_pool.state(runs[name])
        assert (name, state.name, state.message) == (name, "AwaitingRetry", DRAINED_MESSAGE)
    assert (tmp_path / "long cleaned up").exists()
    assert (tmp_path / "sync cleaned up").exists()
    assert not (tmp_path / "late began").exists()
    for name in ("long", "sync", "deaf", "late"):
        (tmp_path / f"{name} may end").touch()
    with warm_worker(stack, own_pool.name):
        for run in (runs["long"], runs["sync"], runs["deaf"], late):
            own_pool.wait_for(run, "Completed")


def test_a_worker_ends_though_prefect_does_not_answer(stack: Stack, own_pool: Pool, tmp_path: Path) -> None:
    """What cannot be told is not waited for: a service manager would kill the worker, a person press Ctrl-C again.

    What Prefect itself wants to tell at a process's end takes it up to a minute more; so the server comes back here.
    """
    server = psutil.Process(json.loads((stack.home / "prefect-server.json").read_text())["pid"])
    run = own_pool.start(own_pool.deploy("deaf"), parameters={"folder": str(tmp_path), "name": "deaf"})
    brief = {"PCO_WORKER_DRAIN_SECONDS": "1", "PCO_WORKER_CLEANUP_SECONDS": "1"}
    with warm_worker(stack, own_pool.name, **brief) as worker:
        wait_until((tmp_path / "deaf began").exists, "it began", seconds=60)
        own_pool.wait_for(run, "Running")
        server.suspend()
        try:
            worker.send(signal.SIGTERM)
            wait_until(lambda: "The Prefect API did not take back 1 of them" in worker.said(), "it gave up", seconds=30)
        finally:
            server.resume()
        assert worker.end() == 0, worker.said()


def test_a_second_signal_ends_a_worker_at_once(stack: Stack, own_pool: Pool, tmp_path: Path) -> None:
    run = own_pool.start(own_pool.deploy("deaf"), parameters={"folder": str(tmp_path), "name": "deaf"})
    with warm_worker(stack, own_pool.name, PCO_WORKER_DRAIN_SECONDS="600") as worker:
        wait_until((tmp_path / "deaf began").exists, "it began", seconds=60)
        own_pool.wait_for(run, "Running")
        worker.send(signal.SIGINT)
        wait_until(lambda: "Waiting up to 600 s for 1 runs" in worker.said(), "the worker drains")
        worker.send(signal.SIGTERM)
        assert worker.end() == -signal.SIGTERM


@pytest.mark.nightly
def test_a_worker_and_its_runs_live_through_the_absence_of_the_server(
    stack: Stack, own_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's own loops give up after twelve failures; without retries in the client those are soon together."""
    port = int(stack.prefect.ui_url.rpartition(":")[2])
    monkeypatch.setattr(prefect_server, "PREFERRED_PORT", port)
    deployment = own_pool.deploy("waiting")
    parameters = {name: {"folder": str(tmp_path), "name": name} for name in ("during", "through", "after")}
    runs = {name: own_pool.start(deployment, parameters=parameters[name]) for name in ("during", "through")}
    impatient = {"PREFECT_CLIENT_MAX_RETRIES": "0", "PREFECT_WORKER_QUERY_SECONDS": "0.1"}
    with warm_worker(stack, own_pool.name, **impatient) as worker:
        for name, run in runs.items():
            wait_until((tmp_path / f"{name} began").exists, f"{name} began", seconds=60)
            own_pool.wait_for(run, "Running")
        stack.prefect.stop()
        wait_until(lambda: "does not answer" in worker.said(), "the worker notices")
        (tmp_path / "during may end").touch()
        wait_until((tmp_path / "during ended").exists, "a run ended that cannot be reported")
        away_until = time.monotonic() + 6  # longer than Prefect's own loop would live
        wait_until(lambda: time.monotonic() > away_until, "the server was away long enough")
        stack.prefect.start(stack.postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"))
        own_pool.wait_for(runs["during"], "Completed")
        assert own_pool.state(runs["through"]).name == "Running"
        (tmp_path / "through may end").touch()
        own_pool.wait_for(runs["through"], "Completed")
        (tmp_path / "after may end").touch()
        own_pool.wait_for(own_pool.start(deployment, parameters=parameters["after"]), "Completed")
        assert worker.process.poll() is None
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
