"""A database that tests of the store share: emptying it is much cheaper than copying one for each."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database


@pytest.fixture(scope="session")
def store_url(postgres: Postgres, template: str) -> Iterator[str]:
    """The address of a migrated database."""
    postgres.psql("postgres", f"CREATE DATABASE store TEMPLATE {template} STRATEGY FILE_COPY")
    yield postgres.url("store")
    postgres.psql("postgres", "DROP DATABASE store WITH (FORCE)")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    """The shared database, opened, without people and household members, and with an empty ledger."""
    opened = Database(store_url, pool_size=5)
    async with opened.transaction() as connection:
        await connection.execute(
            text(
                "TRUNCATE people.person, people.household_membership, people.workflow_card_note, "
                "people.workflow_card, giving.payment_method, groups.tag, sync.runs, sync.lists, sync.churches, "
                "sync.pages, sync.quarantine, sync.watermarks, sync.links, sync.backfills RESTART IDENTITY"
            )
        )
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def still_world_process() -> Iterator[SimulatorProcess]:
    """A church of three pages of people, whose records no test changes."""
    with SimulatorProcess(people=233, groups=12) as simulator:
        yield simulator


@pytest.fixture
def still_world(still_world_process: SimulatorProcess) -> SimulatorProcess:
    """The same, answering well until a test has it lie."""
    still_world_process.faults([])
    still_world_process.cap(None)
    still_world_process.ignore([])
    return still_world_process
