"""Behind a pooler: whether a connection keeps its session is proven, and where it does not nothing relies on it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from pco_store.alone import alone
from pco_store.database import Database
from pco_store.errors import DatabaseAddressWrong, LeaseLost, StoreUnavailable
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import NotOpened, Opened
from pco_store.migrate import migrate
from pco_store.schema_check import newest_migration
from tests.integration.requests import run_request
from tests.pooler import Pooler, running


@pytest.fixture
def pooler(postgres: Postgres, store: Database) -> Iterator[Pooler]:
    """Two connections to the shared database, lent for a transaction each; the ledger is empty."""
    with running(Pooler(socket=socket_of(postgres), database="store", servers=2)) as pooler:
        yield pooler


def socket_of(postgres: Postgres) -> str:
    """Where Postgres listens."""
    return str(postgres.data / ".s.PGSQL.5432")


@asynccontextmanager
async def opened(*urls: str) -> AsyncIterator[list[Database]]:
    """The same database as several processes have it."""
    databases = [Database(url, pool_size=3) for url in urls]
    yield databases
    await asyncio.gather(*(one.aclose() for one in databases))


@pytest.mark.parametrize("round_robin", [False, True])
@pytest.mark.parametrize("servers", [1, 2, 3, 8])
async def test_connections_lent_for_a_transaction_are_no_sessions(
    pooler: Pooler, servers: int, round_robin: bool
) -> None:
    pooler.servers, pooler.round_robin = servers, round_robin
    others = [await asyncpg.connect(pooler.url, statement_cache_size=0) for _ in range(servers)]
    await asyncio.gather(*(one.execute("SELECT pg_sleep(0.01)") for one in others))  # all of them are open and idle
    async with opened(pooler.url) as (database,):
        assert not await database.has_own_sessions()
    await asyncio.gather(*(one.close() for one in others))


async def test_connections_of_ones_own_or_lent_for_a_session_are_sessions(pooler: Pooler, store_url: str) -> None:
    pooler.mode = "session"
    async with opened(store_url, pooler.url) as (direct, pooled):
        assert await direct.has_own_sessions()
        assert await pooled.has_own_sessions()


async def test_an_address_that_speaks_of_a_pooler_is_believed(store_url: str) -> None:
    async with opened(f"{store_url}&pgbouncer=true") as (database,):
        assert not await database.has_own_sessions()


async def test_statements_of_many_processes_do_not_meet(pooler: Pooler) -> None:
    """Statements with names fail here: `prepared statement "__asyncpg_stmt_1__" already exists`."""

    async def work(database: Database, number: int) -> list[int]:
        found = []
        for step in range(10):
            async with database.transaction() as connection:
                found.append(await connection.scalar(text("SELECT CAST(:one AS int)"), {"one": number}))
                await connection.execute(text(f"SELECT {step}, :two"), {"two": "x"})
            async with database.statement() as connection:
                found.append(await connection.scalar(text("SELECT CAST(:one AS int) + 0"), {"one": number}))
        return found

    async with opened(*[pooler.url] * 5) as databases:
        all_found = await asyncio.gather(*(work(one, number) for number, one in enumerate(databases)))
    assert all_found == [[number] * 20 for number in range(5)]


async def test_nothing_is_set_for_longer_than_a_transaction(pooler: Pooler) -> None:
    async with opened(pooler.url) as (database,), database.transaction() as connection:
        assert await connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
    stranger = await asyncpg.connect(pooler.url, statement_cache_size=0)
    async with stranger.transaction():
        assert await stranger.fetchval("SHOW idle_in_transaction_session_timeout") == "0"
        assert await stranger.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    await stranger.close()


async def test_of_many_openers_behind_a_pooler_exactly_one_gets_the_run(pooler: Pooler) -> None:
    async with opened(*[pooler.url] * 6) as databases:
        decisions = await asyncio.gather(*(open_run(one, run_request(epoch="e")) for one in databases))
        assert sum(isinstance(decision, Opened) for decision, _ in decisions) == 1
        again, _ = await open_run(databases[0], run_request(epoch="e"))
        assert isinstance(again, NotOpened)


@pytest.mark.parametrize("way", ["pooled, pooled", "pooled, direct", "direct, pooled", "direct, direct"])
async def test_a_run_that_is_held_is_not_taken_over_whichever_way_one_comes(
    pooler: Pooler, store_url: str, way: str
) -> None:
    urls = {"pooled": pooler.url, "direct": store_url}
    async with opened(*(urls[one] for one in way.split(", "))) as (holder, other):
        decision, lease = await open_run(holder, run_request(epoch="e"))
        assert isinstance(decision, Opened)
        assert lease is not None
        await lease.renew()

        for _ in range(4):
            refused, _ = await open_run(other, run_request(epoch="e"))
            assert isinstance(refused, NotOpened)

        await lease.renew()
        await lease.release()


async def test_a_holder_with_a_session_of_its_own_is_followed_at_once_even_from_behind_a_pooler(
    pooler: Pooler, store_url: str
) -> None:
    async with opened(store_url, pooler.url) as (direct, pooled):
        _, dead = await open_run(direct, run_request(epoch="e", lease_seconds=3600))
        assert dead is not None
        await dead.release()  # as its connection ends when a process is killed

        decision, alive = await open_run(pooled, run_request(epoch="e"))

        assert isinstance(decision, Opened)
        assert not decision.run.is_new
        assert alive is not None
        with pytest.raises(LeaseLost):
            await dead.renew()


async def test_resuming_is_instant_where_sessions_are_pooled(pooler: Pooler) -> None:
    pooler.mode, pooler.servers = "session", 12
    async with opened(pooler.url, pooler.url) as (one, other):
        _, dead = await open_run(one, run_request(epoch="e", lease_seconds=3600))
        held, _ = await open_run(other, run_request(epoch="e"))
        assert isinstance(held, NotOpened)
        assert dead is not None
        await dead.release()
        decision, alive = await open_run(other, run_request(epoch="e"))
        assert isinstance(decision, Opened)
        assert alive is not None
        await alive.release()


async def test_a_holder_without_a_session_is_followed_when_its_lease_has_run_out(pooler: Pooler) -> None:
    async with opened(pooler.url, pooler.url) as (one, other):
        _, asleep = await open_run(one, run_request(epoch="e", lease_seconds=0.0))
        decision, _ = await open_run(other, run_request(epoch="e"))
        assert isinstance(decision, Opened)
        assert not decision.run.is_new
        assert asleep is not None
        with pytest.raises(LeaseLost):
            await asleep.renew()


async def test_only_one_at_a_time_is_alone(pooler: Pooler, store_url: str) -> None:
    pooler.servers = 4
    async with opened(pooler.url, pooler.url, store_url) as databases:
        async with alone(databases[0], "sweep") as first:
            assert first
            for one in databases[1:]:
                async with alone(one, "sweep") as second, alone(one, "another") as third:
                    assert (second, third) == (False, True)
        async with alone(databases[2], "sweep") as next_one:
            assert next_one


async def test_a_pooler_that_changes_its_mode_is_noticed(pooler: Pooler) -> None:
    """From session to transaction, by its administrator: what was proven is not true any more."""
    pooler.mode, pooler.servers = "session", 12
    async with opened(pooler.url, pooler.url) as (one, other):
        _, lease = await open_run(one, run_request(epoch="e"))
        assert lease is not None
        async with other.transaction() as connection:
            await connection.execute(text("SELECT 1"))
        pooler.mode = "transaction"

        async def use_until_it_works() -> None:
            for database in (one, other) * 8:
                try:
                    async with database.transaction() as connection:
                        await connection.execute(text("SELECT 1"))
                except StoreUnavailable:
                    continue

        await use_until_it_works()
        with suppress(StoreUnavailable):  # whoever renews notices it now at the latest
            await lease.renew()
        await lease.renew()
        for _ in range(4):
            refused, _ = await open_run(other, run_request(epoch="e"))
            assert isinstance(refused, NotOpened)
        await lease.release()


async def test_tables_are_made_through_a_pooler(postgres: Postgres, empty_database_url: str) -> None:
    name = empty_database_url.split("@/")[1].split("?")[0]
    with running(Pooler(socket=socket_of(postgres), database=name, servers=2)) as pooler:
        assert await migrate(pooler.url) == newest_migration()
        assert await migrate(pooler.url) == newest_migration()


async def test_what_a_pooler_does_not_take_is_named(pooler: Pooler) -> None:
    async with opened(f"{pooler.url}?options=-csearch_path%3Dx") as (database,):
        with pytest.raises(DatabaseAddressWrong, match="the pooler does not take options; leave it out of PCO_SYNC"):
            await database.has_own_sessions()


async def test_a_pooler_of_single_statements_is_refused_with_what_to_use(pooler: Pooler) -> None:
    pooler.mode = "statement"
    async with opened(pooler.url) as (database,):
        with pytest.raises(DatabaseAddressWrong, match="use session pooling or a direct connection"):
            async with database.transaction():
                raise AssertionError("it works")
