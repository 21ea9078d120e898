"""A database that is away is told from one that is wrong, and neither is told with the data in it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from embedded.server_process import free_port
from pco_store.__main__ import main
from pco_store.database import Database
from pco_store.errors import StatementRefused, StopStoreError, StoreUnavailable
from pco_store.ledger.leases import open_run
from pco_store.mirror.upsert import fetch
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part
from tasks.pages.apply_page import apply_page
from tasks.pages.collection import read_collection
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing
from tasks.retries import retried
from tests.integration.mirror import stored
from tests.integration.requests import run_request
from tests.integration.syncing import people_sync
from tests.simulators import SimulatorProcess

CANARY = "canary-of-a-person"


async def refused(store: Database, statement: str, **values: Any) -> str:
    """What the store says about a statement that Postgres refuses."""
    with pytest.raises(StatementRefused) as caught:
        async with store.transaction() as connection:
            await connection.execute(text(statement), values)
    assert caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize("how", [Database.transaction, Database.statement])
async def test_a_server_that_is_not_there_is_unavailable(how: Any) -> None:
    nowhere = Database(f"postgresql://someone:{CANARY}@127.0.0.1:{free_port()}/pco")
    use: AbstractAsyncContextManager[AsyncConnection] = how(nowhere)
    with pytest.raises(StoreUnavailable, match="the database cannot be reached") as caught:
        async with use:
            raise AssertionError("it is there")
    assert CANARY not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        await open_run(nowhere, run_request(epoch="e"))
    await nowhere.aclose()


async def test_a_connection_that_the_server_ends_is_unavailable_and_the_next_one_works(store: Database) -> None:
    async def ask_after_the_end() -> None:
        async with store.statement() as other, store.transaction() as connection:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            await other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
            await connection.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailable, match="the database went away"):
        await ask_after_the_end()
    async with store.transaction() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize("own_sessions", [None, True], ids=["asked by asyncpg", "by the pool"])
async def test_servers_that_cannot_be_written_to_now_are_unavailable(store_url: str, own_sessions: bool | None) -> None:
    """All of them answer, for some seconds of a failover."""
    read_only = quote("-c default_transaction_read_only=on")
    standby = Database(f"{store_url}&target_session_attrs=read-write&options={read_only}")
    standby._own_sessions = own_sessions
    with pytest.raises(StoreUnavailable, match="no server of PCO_SYNC_DATABASE_URL is as its target_session_attrs"):
        async with standby.transaction():
            pass
    await standby.aclose()


@pytest.mark.parametrize(
    ("part", "value", "told"), [("/store", "/nope", 'database "nope" does not exist'), ("postgres@", "x@", 'role "x"')]
)
async def test_a_wrong_address_is_refused_in_postgres_own_words(
    store_url: str, part: str, value: str, told: str
) -> None:
    wrong = Database(store_url.replace(part, value))
    with pytest.raises(StopStoreError, match=told):
        async with wrong.transaction():
            pass
    await wrong.aclose()


async def test_a_refused_statement_is_told_without_its_values(store: Database) -> None:
    watermark = "INSERT INTO sync.watermarks VALUES (:org_id, 'e', '', now(), 1)"
    assert CANARY not in await refused(store, "SELECT CAST(:value AS integer)", value=CANARY)
    assert CANARY not in await refused(store, "SELECT CAST(CAST(:value AS text) AS integer)", value=CANARY)
    assert CANARY not in await refused(store, f"{watermark}, (:org_id, 'e', '', now(), 1)", org_id=CANARY)
    assert "watermarks_pkey" in await refused(store, f"{watermark}, (:org_id, 'e', '', now(), 1)", org_id=CANARY)
    told = await refused(store, "INSERT INTO sync.watermarks VALUES (:org_id, NULL, '', now(), 1)", org_id=CANARY)
    assert "entity" in told
    assert CANARY not in told


async def test_an_error_inside_a_transaction_leaves_nothing_behind(store: Database) -> None:
    await refused(
        store, "WITH one AS (INSERT INTO sync.watermarks VALUES ('g', 'e', '', now(), 1) RETURNING 1) SELECT 1 / 0"
    )
    async with store.transaction() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM sync.watermarks")) == 0


@pytest.mark.parametrize("arguments", [[], ["upgrade"], ["migrate", "more"]])
def test_the_command_says_how_it_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "PCO_SYNC_DATABASE_URL=" in capsys.readouterr().err


def test_the_command_says_that_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", f"postgresql://someone:{CANARY}@127.0.0.1:{free_port()}/pco")
    assert main(["migrate"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("the database cannot be reached: the connection was refused")


async def test_a_transaction_whose_process_sleeps_is_ended_and_lets_others_go_on(store_url: str) -> None:
    """Stopped in the middle of a page (SIGSTOP), it would keep the row of its run locked for ever."""
    sleeper, other = Database(store_url, silence_seconds=0.2), Database(store_url)

    async def sleep_with_a_lock_until_another_has_it() -> None:
        async with sleeper.transaction() as asleep:
            await asleep.execute(text("SELECT pg_advisory_xact_lock(4711)"))
            async with other.transaction() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(4711)"))
            await asleep.execute(text("SELECT 1"))

    try:
        with pytest.raises(StoreUnavailable):
            await sleep_with_a_lock_until_another_has_it()
    finally:
        await sleeper.aclose()
        await other.aclose()


LATER = ["08006", "25006", "25P03", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01", "58030"]
NEVER = ["22012", "23505", "28P01", "40002", "42501", "42601", "42P01", "54000", "57P04", "XX000", "P0001"]


def raising(sqlstate: str) -> str:
    """A statement that Postgres itself fails with this error."""
    return f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}' USING ERRCODE = '{sqlstate}'; END $$"


@pytest.mark.parametrize(
    ("sqlstate", "kind"), [*((one, StoreUnavailable) for one in LATER), *((one, StatementRefused) for one in NEVER)]
)
async def test_the_class_of_postgres_error_says_whether_it_is_waited_out(
    store: Database, sqlstate: str, kind: type[Exception]
) -> None:
    """By SQLAlchemy's statements and by those that go past it."""
    with pytest.raises(kind) as caught:
        async with store.transaction() as connection:
            await connection.execute(text(raising(sqlstate)))
    assert (sqlstate in str(caught.value)) is (kind is StoreUnavailable)
    with pytest.raises(kind):
        async with store.statement() as connection:
            await fetch(connection, raising(sqlstate))


FULL_FOR_THREE_COMMITS = (
    "CREATE SEQUENCE tries",
    """
    CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') IN (2, 3, 4) THEN
            RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER full_disk BEFORE INSERT ON sync.pages FOR EACH ROW EXECUTE FUNCTION disk_is_full()",
)


@pytest.fixture
async def full_store(store: Database) -> AsyncIterator[Database]:
    """A database whose disk is full when the second page is to be written, and has room again at the fourth try."""
    async with store.transaction() as connection:
        for statement in FULL_FOR_THREE_COMMITS:
            await connection.execute(text(statement))
    yield store
    async with store.transaction() as connection:
        await connection.execute(text("DROP FUNCTION disk_is_full CASCADE"))
        await connection.execute(text("DROP SEQUENCE tries"))


async def test_a_disk_that_is_full_for_a_while_is_waited_out(full_store: Database) -> None:
    waited = 0
    with SimulatorProcess(people=30, groups=0) as simulator:
        async with people_sync(full_store, simulator) as sync:

            async def process(page: PageRef) -> dict[str, Any]:
                async def apply(attempt: int) -> dict[str, Any]:
                    nonlocal waited
                    waited += attempt > 1
                    return asdict(await apply_page(sync, page, attempt=attempt))

                return await retried(apply, delays=[0.001] * 5)

            walks = PartWalks([Part(number=0, window=sync.windows[0])], page_size=10)
            await read_collection(walks, sync, processing=PageProcessing(whole=process, part=process))
        assert set(await stored(full_store)) == {one["id"] for one in simulator.state("people.Person")}
    assert waited == 3
