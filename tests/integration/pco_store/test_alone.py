"""One at a time: long work keeps the lock, and the end of the lock's connection does not end the work."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

import pco_store.alone
from pco_store.alone import alone
from pco_store.database import Database

HOLDER = (
    "SELECT activity.pid, activity.state_change FROM pg_locks AS lock JOIN pg_stat_activity AS activity USING (pid) "
    "WHERE lock.locktype = 'advisory' AND lock.granted"
)


@pytest.fixture
async def other(store: Database, store_url: str) -> AsyncIterator[Database]:
    """The same database as another process has it."""
    database = Database(store_url, pool_size=1)
    yield database
    await database.aclose()


async def holder(database: Database) -> tuple[int, object] | None:
    """Which connection holds the lock, and when it last did something."""
    async with database.statement() as connection:
        row = (await connection.execute(text(HOLDER))).first()
        return None if row is None else (row.pid, row.state_change)


async def until_it_changed(database: Database, before: tuple[int, object] | None) -> tuple[int, object] | None:
    async with asyncio.timeout(20):
        while (now := await holder(database)) == before:  # noqa: ASYNC110 - it is Postgres that has to act
            await asyncio.sleep(0.01)
    return now


async def test_long_work_is_heard_of_again_and_again_and_keeps_the_lock(
    store: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pco_store.alone, "PING_SECONDS", 0.01)
    async with alone(store, "work") as first:
        seen = await holder(other)
        assert first
        assert seen is not None
        for _ in range(3):
            seen = await until_it_changed(other, seen)
            assert seen is not None
        async with alone(other, "work") as second:
            assert not second
    async with alone(other, "work") as third:
        assert third


async def test_work_goes_on_to_its_end_when_the_connection_of_the_lock_ends(
    store: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has slept, or Postgres was restarted; others may begin from then on."""
    monkeypatch.setattr(pco_store.alone, "PING_SECONDS", 0.05)
    async with alone(store, "work") as first:
        (ping,) = [task for task in asyncio.all_tasks() if task.get_name() == "lock"]
        held = await holder(other)
        assert first
        assert held is not None
        async with other.statement() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": held[0]})
        await asyncio.wait({ping}, timeout=20)
        assert ping.done()
        async with alone(other, "work") as second:
            assert second
