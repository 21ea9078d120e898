"""A database that tests of the store share: emptying it is much cheaper than copying one for each."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
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
                "giving.payment_method, groups.tag, sync.runs, "
                "sync.pages, sync.quarantine, sync.watermarks, sync.links, sync.backfills RESTART IDENTITY"
            )
        )
    yield opened
    await opened.aclose()
