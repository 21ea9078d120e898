"""The whole engine for tests: PostgreSQL, Redis and a Prefect server, started once and only where a test needs them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import certifi
import pytest
from prefect.context import SettingsContext, get_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    Settings,
    temporary_settings,
)

from embedded.postgres import Postgres
from embedded.prefect_server import PrefectServer
from embedded.redis_server import RedisServer
from embedded.services import PREFECT_DATABASE
from tests.church import Church
from tests.simulators import SimulatorProcess

FAST = {
    "PCO_SYNC_RETRY_FIRST_SECONDS": "0.05",
    "PCO_SYNC_RETRY_TOTAL_SECONDS": "0.35",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "DO_NOT_TRACK": "1",
}
"""What every test's environment says: a failing page gives up after three retries, within a second."""

END = "-----END CERTIFICATE-----\n"
PATIENCE = 3
"""Tests run side by side. What comes true is seen at once; only a failure takes longer."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Servers, and what a program beside them needs.

    Everything here is plain HTTP, so that programs trust one authority: Prefect reads all of them from disk for each of
    its clients, several for a flow run, which was a third of the suite's time.
    """

    home: Path
    postgres: Postgres
    redis: RedisServer
    prefect: PrefectServer

    def __post_init__(self) -> None:
        self.authority.write_text(Path(certifi.where()).read_text().partition(END)[0] + END)

    @property
    def prefect_home(self) -> Path:
        """Where Prefect's client keeps its files."""
        return self.home / "prefect"

    @property
    def authority(self) -> Path:
        """The only authority that programs trust."""
        return self.home / "authority.pem"

    def environment(self) -> dict[str, str]:
        """What a program needs to find Prefect."""
        return {
            **FAST,
            "PREFECT_API_URL": self.prefect.api_url,
            "PREFECT_HOME": str(self.prefect_home),
            "PREFECT_API_SSL_CERT_FILE": str(self.authority),
            "SSL_CERT_FILE": str(self.authority),
        }

    def settings(self) -> SettingsContext:
        """Prefect's client in this process as a program of that environment has it."""
        return SettingsContext(
            profile=get_settings_context().profile,
            settings=_client_settings(self.prefect.api_url, self.prefect_home, str(self.authority)),
        )


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str], *, seconds: float = 20.0) -> None:
    """Wait for a condition; fails with `what`, which may be found out then, when it does not come true in time.

    `seconds` are those of a machine with nothing else to do; a busy one has `PATIENCE` times as many.
    """
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain until {what if isinstance(what, str) else what()}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def stack(home: Path, postgres: Postgres, redis_server: RedisServer) -> Iterator[Stack]:
    """A Prefect server beside the session's PostgreSQL and Redis."""
    postgres.create_database(PREFECT_DATABASE)
    server = PrefectServer(home)
    server.start(postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"))
    yield Stack(home=home, postgres=postgres, redis=redis_server, prefect=server)
    for tellers in (APILogWorker, EventsWorker):  # what is still to be told is told now, not to a server that is gone
        tellers.drain_all(timeout=10, at_exit=True)
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
    with stack.settings():
        yield church


@lru_cache
def _client_settings(api_url: str, home: Path, authority: str) -> Settings:
    """Made once, for it takes Prefect a tenth of a second."""
    settings = {
        PREFECT_API_URL: api_url,
        PREFECT_HOME: home,
        PREFECT_API_SSL_CERT_FILE: authority,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
    }
    with temporary_settings(settings) as made:
        return made
