"""Indexes that are built beside writers: two who migrate at once, and one who is killed in the middle."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from pco_store.ahead import build_indexes_ahead
from pco_store.database import Database

NAME = "runs_for_a_test"
INDEX = {NAME: "ON sync.runs (org_id, epoch)"}
STATES = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('sync.{NAME}')"
BUILDERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%' "
    "AND state = 'active'"
)
BUILD = f"""
import asyncio, sys
from pco_store.ahead import build_indexes_ahead
from pco_store.database import Database
asyncio.run(build_indexes_ahead(Database(sys.argv[1], pool_size=1), {INDEX!r}))
"""


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The same database as another migrator has it."""
    opened = Database(database_url, pool_size=2)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def somebody_reads(database: Database) -> AsyncIterator[None]:
    """A transaction that has seen the table: no index is finished before it ends."""
    async with database.transaction() as connection:
        await connection.execute(text("SELECT count(*) FROM sync.runs"))
        yield


async def found(database: Database, statement: str) -> list[object]:
    async with database.transaction() as connection:
        return list(await connection.scalars(text(statement)))


async def until(database: Database, statement: str, wanted: int) -> list[object]:
    async with asyncio.timeout(60):
        while len(rows := await found(database, statement)) != wanted:  # noqa: ASYNC110 - it is Postgres that has to act
            await asyncio.sleep(0.01)
    return rows


async def test_two_who_build_at_once_make_one_index_and_both_go_on(database: Database, other: Database) -> None:
    async with somebody_reads(database):
        both = [asyncio.create_task(build_indexes_ahead(one, INDEX)) for one in (database, other)]
        await until(other, STATES, 1)
        assert not any(one.done() for one in both), "it is not used before it is whole"
    await asyncio.gather(*both)
    assert await found(database, STATES) == [True]


@pytest.mark.parametrize("backend", ["goes on", "ends, too"])
async def test_who_is_killed_leaves_nothing_that_the_next_one_cannot_build(
    database: Database, other: Database, database_url: str, backend: str
) -> None:
    async with somebody_reads(database):
        killed = await asyncio.create_subprocess_exec(sys.executable, "-c", BUILD, database_url)
        await until(other, STATES, 1)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        (pid,) = await until(other, BUILDERS, 1)
        if backend == "ends, too":
            await found(other, f"SELECT pg_terminate_backend({pid}, 10000)")
            assert await found(other, STATES) == [False]
        again = asyncio.create_task(build_indexes_ahead(other, INDEX))
    await again
    assert await found(database, STATES) == [True]
