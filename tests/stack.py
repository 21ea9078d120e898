"""The whole engine for tests: PostgreSQL, Redis and a Prefect server, started once and only where a test needs them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from embedded.postgres import Postgres
from embedded.prefect_server import PrefectServer
from embedded.redis_server import RedisServer
from embedded.services import PREFECT_DATABASE
from pco_simulator.testing import SimulatorProcess
from tests.church import Church

FAST = {
    "PCO_SYNC_RETRY_FIRST_SECONDS": "0.05",
    "PCO_SYNC_RETRY_TOTAL_SECONDS": "0.35",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "DO_NOT_TRACK": "1",
}
"""What every test's environment says: a failing page gives up after three retries, within a second."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The servers of this session."""

    home: Path
    postgres: Postgres
    redis: RedisServer
    prefect: PrefectServer

    @property
    def prefect_home(self) -> Path:
        """Where Prefect's client keeps its files."""
        return self.home / "prefect"

    def environment(self) -> dict[str, str]:
        """What a program needs to find Prefect."""
        return {**FAST, "PREFECT_API_URL": self.prefect.api_url, "PREFECT_HOME": str(self.prefect_home)}


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Wait for a condition; fails with `what` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def stack(home: Path, postgres: Postgres, redis_server: RedisServer) -> Iterator[Stack]:
    """A Prefect server beside the session's PostgreSQL and Redis."""
    postgres.create_database(PREFECT_DATABASE)
    server = PrefectServer(home)
    server.start(postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"))
    yield Stack(home=home, postgres=postgres, redis=redis_server, prefect=server)
    server.stop()


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[SimulatorProcess]:
    """A simulated church of 120 people that no test changes."""
    with SimulatorProcess(people=120, groups=12) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: SimulatorProcess) -> SimulatorProcess:
    """The shared simulator, well-behaved and with an empty log."""
    shared_simulator.faults([])
    shared_simulator.rate_limit(limit=None)
    shared_simulator.latency(0)
    shared_simulator.forbid([])
    shared_simulator.reset_log()
    return shared_simulator


@pytest.fixture
def church(
    stack: Stack, database_url: str, redis_url: str, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Church]:
    """The church `grace`, with an empty mirror; its credentials stand in the environment."""
    church = Church(
        org_id="grace", base=stack.environment(), database_url=database_url, redis_url=redis_url, simulator=simulator
    )
    for name, value in church.environment().items():
        monkeypatch.setenv(name, value)
    settings = {
        PREFECT_API_URL: stack.prefect.api_url,
        PREFECT_HOME: stack.prefect_home,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
    }
    with temporary_settings(settings):
        yield church
