"""Runs, leases, fences and pages on a real Postgres."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.leases import RunLease, open_run
from pco_store.ledger.openings import ORGANIZATION, NotOpened, Opened, RunRequest
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.runs import PageReceipt, RunHandle, check_fence, committed_pages, finish_run, run_totals
from pco_store.mirror.upsert import upsert_rows
from tests.integration.mirror import PEOPLE, person, rows
from tests.integration.requests import run_request

RECEIPT = PageReceipt(
    reading=1,
    offset=0,
    page_size=100,
    rows=2,
    new=2,
    changed=0,
    unchanged=0,
    stale=0,
    misfits=0,
    quarantined=0,
    next_offset=None,
    total_count=2,
    requests=1,
    waited_seconds=0.25,
)


async def opened(database: Database, request: RunRequest) -> RunLease:
    decision, lease = await open_run(database, request)
    assert isinstance(decision, Opened)
    assert lease is not None
    return lease


async def complete(database: Database, lease: RunLease) -> None:
    async with database.transaction() as connection:
        await finish_run(connection, lease.run, "completed")
    await lease.release()


def page_of(run: RunHandle) -> PageOfRows:
    """A page that shows two people."""
    return PageOfRows(run=run, table=PEOPLE, rows=rows(person(1), person(2)), receipt=RECEIPT, ids=["1", "2"])


async def test_an_epoch_without_a_name_is_called_after_its_turn(database: Database) -> None:
    first = await opened(database, run_request(epoch=None))
    await complete(database, first)
    second = await opened(database, run_request(epoch=None))
    await second.release()

    assert (first.run.epoch, second.run.epoch) == ("turn-1", "turn-2")
    assert first.run.key == "sync-entity:grace:people.Person:turn-1"


async def test_it_is_not_called_as_a_person_has_called_another(database: Database) -> None:
    for epoch in ("turn-2", None, None):
        await complete(database, await opened(database, run_request(epoch=epoch)))
    async with database.transaction() as connection:
        found = await connection.scalars(text("SELECT epoch FROM sync.runs ORDER BY turn"))
        assert list(found) == ["turn-2", "turn-3", "turn-4"]


async def test_the_turn_of_a_church_is_not_called_as_one_of_its_lists(database: Database) -> None:
    """It would take that list for read with it."""
    await complete(database, await opened(database, run_request(epoch="organization-1")))
    church = await opened(database, replace(run_request(epoch=None), entity=ORGANIZATION))
    await church.release()
    assert church.run.epoch == "organization-2"


async def test_a_running_sync_is_not_started_again(database: Database) -> None:
    lease = await opened(database, run_request(epoch="e", flow_run_id="the-first"))

    decision, none = await open_run(database, run_request(epoch="e"))

    assert isinstance(decision, NotOpened)
    assert (decision.why, decision.flow_run_id, none) == ("running", "the-first", None)
    await lease.release()


async def test_a_flow_run_whose_opening_was_committed_but_not_answered_gets_its_own_run(database: Database) -> None:
    lost = await opened(database, run_request(epoch="e", flow_run_id="the-same"))

    decision, lease = await open_run(database, run_request(epoch="e", flow_run_id="the-same"))

    assert isinstance(decision, Opened)
    assert decision.run.run_id == lost.run.run_id
    assert lease is not None
    await lease.release()
    await lost.release()


async def test_a_completed_epoch_is_not_started_again(database: Database) -> None:
    await complete(database, await opened(database, run_request(epoch="e")))

    decision, _ = await open_run(database, run_request(epoch="e"))

    assert isinstance(decision, NotOpened)
    assert decision.why == "completed"


async def test_a_dead_holder_is_followed_at_once_and_cannot_write_any_more(database: Database) -> None:
    dead = await opened(database, run_request(epoch="e", lease_seconds=3600))
    await dead.release()  # as its connection ends when a process is killed

    decision, alive = await open_run(database, run_request(epoch="e"))

    assert isinstance(decision, Opened)
    assert not decision.run.is_new
    assert alive is not None
    assert alive.run.fence == dead.run.fence + 1
    with pytest.raises(LeaseLost):
        async with database.transaction() as connection:
            await check_fence(connection, dead.run)
    with pytest.raises(LeaseLost):
        await dead.renew()
    await alive.release()


async def test_a_holder_whose_lease_ran_out_is_followed_although_its_connection_lives(database: Database) -> None:
    asleep = await opened(database, run_request(epoch="e", lease_seconds=0.0))

    decision, next_lease = await open_run(database, run_request(epoch="e"))

    assert isinstance(decision, Opened)
    assert not decision.run.is_new
    with pytest.raises(LeaseLost):
        await asleep.renew()
    assert next_lease is not None
    await next_lease.release()
    await asleep.release()


async def test_restart_closes_the_epoch_and_opens_it_anew(database: Database) -> None:
    old = await opened(database, run_request(epoch="e"))

    decision, lease = await open_run(database, run_request(epoch="e", on_conflict="restart"))

    assert isinstance(decision, Opened)
    assert decision.run.is_new
    assert decision.run.run_id != old.run.run_id
    assert decision.run.key == old.run.key
    assert decision.run.token != old.run.token
    with pytest.raises(LeaseLost):
        async with database.transaction() as connection:
            await check_fence(connection, old.run)
    assert lease is not None
    await lease.release()
    await old.release()


async def test_a_flow_run_that_has_restarted_an_epoch_and_is_executed_again_continues_it(database: Database) -> None:
    """A worker that ends gives its runs back, and the next one executes them with the same parameters."""
    wish = run_request(epoch="e", on_conflict="restart", flow_run_id="a-flow-run")
    first = await opened(database, wish)
    await first.release()
    again, lease = await open_run(database, replace(wish, owner="another worker"))
    assert isinstance(again, Opened)
    assert (again.run.run_id, again.run.fence) == (first.run.run_id, first.run.fence + 1)
    assert lease is not None
    await lease.release()
    other, lease = await open_run(database, replace(wish, flow_run_id="another-flow-run"))
    assert isinstance(other, Opened)
    assert other.run.is_new
    assert lease is not None
    await lease.release()


async def test_of_many_openers_at_once_exactly_one_gets_the_run(database_url: str) -> None:
    databases = [Database(database_url, pool_size=2) for _ in range(6)]

    decisions = await asyncio.gather(*(open_run(one, run_request(epoch="e")) for one in databases))

    assert sum(isinstance(decision, Opened) for decision, _ in decisions) == 1
    for _, lease in decisions:
        if lease is not None:
            await lease.release()
    await asyncio.gather(*(one.aclose() for one in databases))


async def test_a_page_is_recorded_once_and_read_back(database: Database) -> None:
    lease = await opened(database, run_request(epoch="e"))
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        await commit_page(connection, page_of(lease.run))

    async with database.transaction() as connection:
        pages = await committed_pages(connection, lease.run)
        totals = await run_totals(connection, lease.run)

    assert pages == [RECEIPT]
    assert (totals.pages, totals.rows, totals.distinct_ids, totals.waited_seconds) == (1, 2, 2, 0.25)
    await lease.release()


async def test_a_transaction_that_lost_its_fence_leaves_nothing(database: Database) -> None:
    old = await opened(database, run_request(epoch="e"))
    await old.release()
    _, new = await open_run(database, run_request(epoch="e"))

    async def write_late() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await upsert_rows(connection, PEOPLE, rows(person(9)))
            await commit_page(connection, page_of(old.run))

    with pytest.raises(LeaseLost):
        await write_late()

    async with database.transaction() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM sync.pages")) == 0
        assert await connection.scalar(text("SELECT count(*) FROM people.person")) == 0
    assert new is not None
    await new.release()


async def test_a_run_that_was_closed_cannot_be_completed(database: Database) -> None:
    old = await opened(database, run_request(epoch="e"))
    _, new = await open_run(database, run_request(epoch="e", on_conflict="restart"))

    with pytest.raises(LeaseLost):
        await complete(database, old)

    assert new is not None
    await new.release()
    await old.release()


async def test_the_window_of_a_continued_run_stays_as_it_was_opened(database: Database) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    first = await opened(database, run_request(epoch="e", until=then))
    await first.release()

    second = await opened(database, run_request(epoch="e", until=datetime(2027, 1, 1, tzinfo=UTC), page_size=7))

    assert second.run.window.until == then
    assert second.run.page_size == first.run.page_size
    await second.release()
