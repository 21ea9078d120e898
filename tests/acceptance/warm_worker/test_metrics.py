"""A warm worker serves metrics beside its health; a port that is taken keeps it from nothing."""

import signal
from contextlib import suppress

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from embedded.server_process import free_port
from tests.acceptance.warm_workers import Worker
from tests.fleet import Fleet
from tests.stack import wait_until


@pytest.mark.nightly
def test_a_worker_serves_metrics_and_health_and_ends_as_it_should(fleet: Fleet) -> None:
    port, health = free_port(), free_port()

    def answered(address: str) -> bool:
        with suppress(httpx.ConnectError):
            return httpx.get(address, timeout=30, trust_env=False).is_success
        return False

    def start(health_port: int) -> Worker:
        return fleet.start_worker(
            "--limit", "1", "--with-healthcheck",
            PCO_SYNC_METRICS_PORT=str(port),
            PREFECT_WORKER_WEBSERVER_HOST="127.0.0.1",
            PREFECT_WORKER_WEBSERVER_PORT=str(health_port),
        )  # fmt: skip

    serving = start(health)
    address = f"http://127.0.0.1:{port}/metrics"
    wait_until(lambda: answered(address), lambda: f"metrics are served: {serving.said()}", seconds=60)
    names = {one.name for one in text_string_to_metric_families(httpx.get(address, timeout=30, trust_env=False).text)}
    assert {"pco_sync_runs", "pco_sync_church_is_current"} <= names
    assert answered(f"http://127.0.0.1:{health}/health")

    other_health = free_port()
    beside = start(other_health)
    wait_until(lambda: "tasks.metrics.resident:stay failed" in beside.said(), "it tells of the port", seconds=60)
    assert answered(f"http://127.0.0.1:{other_health}/health")
    for worker in (serving, beside):
        worker.send(signal.SIGTERM)
        assert worker.end() == 0, worker.said()
        fleet.workers.remove(worker)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, timeout=30, trust_env=False)
