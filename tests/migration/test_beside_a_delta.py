"""A mirror of version 0.1 is migrated and filled while a delta writes to it, killed and continued."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import StatementRefused, StoreUnavailable
from pco_store.migrate import migrate
from pco_store.schema_check import newest_migration
from tests.migration.old_mirror import (
    FIRST_RELEASE,
    Delta,
    files_of_tables,
    make_old_mirror,
    owners_in_order,
    plainly,
    upgrade_to,
)

FILL = """
import asyncio, sys
from pco_store.migrate import fill_from_ledger
filled = asyncio.run(fill_from_ledger(sys.argv[1], lambda so_far: print(so_far.runs, flush=True)))
print(f"all of {filled.all_runs}, the slowest statement {filled.slowest:.3f} s", flush=True)
"""


async def fill(url: str, *, kill_after: int | None = None) -> str:
    """Fill in a process of its own, which is killed when so many runs are filled; its last line."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FILL, url, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = ""
    async for line in process.stdout:
        last = line.decode().strip()
        if kill_after is not None and int(last) >= kill_after:
            process.send_signal(signal.SIGKILL)
            break
    assert await process.wait() == (0 if kill_after is None else -signal.SIGKILL)
    return last


@pytest.mark.parametrize("rows", [12_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
async def test_a_mirror_is_migrated_and_filled_beside_a_delta_and_its_filling_is_continued(
    empty_database_url: str, rows: int
) -> None:
    url = empty_database_url
    database = Database(url)
    await make_old_mirror(database, url, rows)
    await database.aclose()
    before = await files_of_tables(url)

    async with Delta(url=url, rows=rows) as migrating:
        began = time.monotonic()
        await migrate(url)
        migrated = time.monotonic() - began
    assert before <= await files_of_tables(url), "no table was rewritten"
    async with Delta(url=url, rows=rows, pages=migrating.pages) as filling:
        began = time.monotonic()
        await fill(url, kill_after=rows // 10)
        told = await fill(url)
        filled = time.monotonic() - began

    assert await owners_in_order(url) == (rows, rows)
    assert before <= await files_of_tables(url)
    assert min(migrating.pages, filling.pages - migrating.pages) > 0
    sys.stdout.write(
        f"\n{rows:,} rows: migrated in {migrated:.2f} s (a page of the delta took {migrating.slowest * 1000:.0f} ms at "
        f"most, a lock {migrating.waited * 1000:.0f} ms), filled in {filled:.1f} s ({told}; a page "
        f"{filling.slowest * 1000:.0f} ms, a lock {filling.waited * 1000:.0f} ms)\n"
    )
    if rows == 1_000_000:
        assert max(migrating.waited, filling.waited) <= 0.1
        assert filled <= 60


@pytest.fixture
async def first_release(empty_database_url: str) -> AsyncIterator[Database]:
    """A database of version 0.1."""
    database = Database(empty_database_url)
    async with database.transaction() as connection:
        await connection.run_sync(upgrade_to, FIRST_RELEASE)
    yield database
    await database.aclose()


async def migration_of(url: str) -> str:
    async with plainly(url) as plain:
        return str(await plain.fetchval("SELECT version_num FROM sync.migrations"))


async def test_nobody_waits_behind_a_migration_that_waits_for_somebody(
    first_release: Database, empty_database_url: str
) -> None:
    async with plainly(empty_database_url) as other:
        async with first_release.transaction() as reader:
            await reader.execute(text("SELECT count(*) FROM sync.runs"))
            migrating = asyncio.create_task(migrate(empty_database_url))
            async with asyncio.timeout(60):
                while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.01)
            async with other.transaction():
                await other.execute("SET LOCAL lock_timeout = '20s'")
                await other.execute("LOCK sync.runs IN ROW EXCLUSIVE MODE")
            assert not migrating.done()
        assert await migrating == newest_migration()


async def test_a_table_in_use_all_the_time_is_said_and_what_is_done_is_kept(
    first_release: Database, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pco_store.migrate.PATIENCE_SECONDS", 0.0)
    async with first_release.transaction() as reader:
        await reader.execute(text("SELECT count(*) FROM people.campus"))
        with pytest.raises(StoreUnavailable, match="in use all the time, so that migration 0008 cannot"):
            await migrate(empty_database_url)
    assert await migration_of(empty_database_url) == "0007"

    assert await migrate(empty_database_url) == newest_migration()


async def test_a_migration_that_fails_keeps_those_before_it(first_release: Database, empty_database_url: str) -> None:
    """Each is a transaction of its own, so that none holds its locks while the next one works."""
    async with plainly(empty_database_url) as plain:
        await plain.execute("CREATE TABLE sync.unshown ()")
        with pytest.raises(StatementRefused, match="already exists"):
            await migrate(empty_database_url)
        assert await migration_of(empty_database_url) == "0009"
        await plain.execute("DROP TABLE sync.unshown")

    assert await migrate(empty_database_url) == newest_migration()
