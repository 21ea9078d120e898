"""A provider with three churches, and one of them connected."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from pco_store.database import Database
from tests.connections.consenting import Connected, connected
from tests.databases import Databases, opened
from tests.simulators import SimulatorProcess


@pytest.fixture(scope="session")
def provider_process() -> Iterator[SimulatorProcess]:
    """A simulator of three small churches."""
    with SimulatorProcess(people=30, groups=3, churches=3) as simulator:
        yield simulator


@pytest.fixture
def provider(provider_process: SimulatorProcess) -> SimulatorProcess:
    """The same, with an empty access log and no faults."""
    provider_process.faults([])
    provider_process.reset_log()
    return provider_process


@pytest.fixture(scope="session")
def connections_url(databases: Databases) -> Iterator[str]:
    """The address of a database that these tests share: each begins with a consent of its own."""
    with databases.one() as url:
        yield url


@pytest.fixture
async def database(connections_url: str) -> AsyncIterator[Database]:
    """It, opened, with no church connected."""
    database = opened(connections_url)
    async with database.transaction() as connection:
        await connection.execute(text("TRUNCATE sync.connections"))
    yield database
    await database.aclose()


@pytest.fixture(params=["on-use", "at-once"])
def rotation(request: pytest.FixtureRequest) -> str:
    """Both of the ways in which PCO may rotate."""
    return str(request.param)


@pytest.fixture
async def church(database: Database, provider: SimulatorProcess) -> AsyncIterator[Connected]:
    """A church that has just consented."""
    async with connected(database, provider) as made:
        yield made
