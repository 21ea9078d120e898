"""A database that tests of the store share: emptying it is much cheaper than copying one for each."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from embedded.postgres import Postgres
from pco_store.database import Database
from tests.databases import opened
from tests.simulators import SimulatorProcess


@pytest.fixture(scope="session")
def store_url(postgres: Postgres, template: str) -> Iterator[str]:
    """The address of a migrated database."""
    postgres.psql("postgres", f"CREATE DATABASE store TEMPLATE {template} STRATEGY FILE_COPY")
    yield postgres.url("store")
    postgres.psql("postgres", "DROP DATABASE store WITH (FORCE)")


_EMPTIED: Final = (
    *("people.person", "people.household_membership", "people.workflow_card_note", "people.workflow_card"),
    *("giving.payment_method", "giving.donation", "giving.designation", "groups.tag"),
    *("sync.runs", "sync.lists", "sync.churches", "sync.pages", "sync.quarantine", "sync.watermarks", "sync.links"),
    *("sync.backfills", "sync.list_traits", "sync.answers"),
)
_EMPTY: Final = f"""
DO $$
DECLARE filled text;
BEGIN
    SELECT string_agg(name, ', ') INTO filled FROM unnest('{{{",".join(_EMPTIED)}}}'::text[]) AS name
    WHERE pg_relation_size(name::regclass) > 0;
    IF filled IS NOT NULL THEN EXECUTE 'TRUNCATE ' || filled || ' CASCADE'; END IF;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_depend ON objid = seqrelid
    WHERE refobjid = ANY ('{{{",".join(_EMPTIED)}}}'::regclass[]);
END $$
"""
"""A table that is empty already costs ten files to truncate."""


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    """The shared database, opened, without people and household members, and with an empty ledger."""
    database = opened(store_url)
    async with database.transaction() as connection:
        await connection.exec_driver_sql(_EMPTY)
    yield database
    await database.aclose()


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
