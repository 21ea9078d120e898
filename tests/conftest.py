"""Real servers for the suite: one PostgreSQL and one Redis for the session, a database of its own for each test."""

import itertools
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from xdist.scheduler import LoadFileScheduling

from embedded.home import usable_home
from embedded.postgres import Postgres
from embedded.redis_server import RedisServer
from pco_store.database import Database
from pco_store.migrate import migrate
from tests.databases import Databases, opened
from tests.fleet import fleet, session_fleet
from tests.stack import church, shared_simulator, simulator, stack

__all__ = ["church", "fleet", "session_fleet", "shared_simulator", "simulator", "stack"]

HERE = Path(__file__).parent
FLEET = "session_fleet"
LONGEST_FIRST = ("crash", "acceptance", "migration", "orchestration", "connections", "integration", "house")
TEMPLATE = "template_pco"
_numbers = itertools.count(1)

FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The suite's databases need not survive the machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Prefect leaves two connections to its server unclosed with every flow run; ours have transports that tell."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket .*raddr:ResourceWarning")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side: a file stays together, and the files whose tests need workers are one group.

    So one process has the deployments and the workers, for all of them.
    """
    scheduler: Any = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope

    def group_of(nodeid: str) -> str:
        file: str = file_of(nodeid)
        return FLEET if _needs_workers(HERE.parent / file) else file

    scheduler._split_scope = group_of
    return scheduler


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that processes side by side end at the same time."""
    items.sort(key=lambda one: (not _needs_workers(one.path), _place(one.path.relative_to(HERE).parts[0])))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Workers that nobody needs any more would go on asking Prefect for work."""
    ours = getattr(item, "funcargs", {}).get(FLEET)
    if ours is not None and FLEET not in getattr(nextitem, "fixturenames", ()):
        ours.keep_workers(0)


@cache
def _needs_workers(file: Path) -> bool:
    return "fleet: Fleet" in file.read_text(encoding="utf-8")


def _place(folder: str) -> int:
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


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
