"""Real servers for the suite: one PostgreSQL and one Redis for the session, a database of its own for each test."""

import itertools
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from embedded.home import usable_home
from embedded.postgres import Postgres
from embedded.redis_server import RedisServer
from pco_store.database import Database
from pco_store.migrate import migrate
from tests.databases import Databases, opened
from tests.fleet import fleet, session_fleet
from tests.stack import church, shared_simulator, simulator, stack

__all__ = ["church", "fleet", "session_fleet", "shared_simulator", "simulator", "stack"]

TEMPLATE = "template_pco"
_numbers = itertools.count(1)

FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The suite's databases need not survive the machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Prefect leaves two connections to its server unclosed with every flow run; ours have transports that tell."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket .*raddr:ResourceWarning")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A data folder of this session, with a short path for the sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pcs-"))
    yield usable_home(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Postgres]:
    """A PostgreSQL server."""
    server = Postgres(home)
    server.start(FAST_AND_FORGETFUL)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(home: Path) -> Iterator[RedisServer]:
    """A Redis server."""
    server = RedisServer(home)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A migrated database that each test's own is copied from."""
    import asyncio

    postgres.create_database(TEMPLATE)
    asyncio.run(migrate(postgres.url(TEMPLATE)))
    return TEMPLATE


@pytest.fixture(scope="session")
def databases(postgres: Postgres, template: str) -> Databases:
    """Migrated databases to be lent to tests."""
    return Databases(postgres, template)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The address of a migrated, empty database of this test."""
    with databases.one() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """The address of a database without any table."""
    name = f"bare{next(_numbers)}"
    postgres.psql("postgres", f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.psql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, opened."""
    database = opened(database_url)
    yield database
    await database.aclose()


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """The command line takes signals for itself; the suite gets them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
