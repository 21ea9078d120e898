"""A watermark moves forward only, and only with the run that proves it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened
from pco_store.ledger.runs import RunHandle, RunWindow
from pco_store.ledger.watermarks import advance_watermark, read_watermark
from tests.integration.mirror import at
from tests.integration.requests import run_request


async def run_until(store: Database, until: datetime | None) -> RunHandle:
    """A run whose window ends then."""
    decision, lease = await open_run(store, run_request(epoch=None))
    assert isinstance(decision, Opened)
    assert lease is not None
    await lease.release()
    return replace(decision.run, window=RunWindow(attribute=None, since=None, until=until))


async def advance(store: Database, run: RunHandle) -> None:
    async with store.transaction() as connection:
        await advance_watermark(connection, run)


async def watermark(store: Database, scope: str = "") -> datetime | None:
    async with store.transaction() as connection:
        return (await read_watermark(connection, org_id="grace", entity="people.Person", scope=scope)).watermark


async def test_there_is_none_before_a_run_completed(store: Database) -> None:
    assert await watermark(store) is None


async def test_it_comes_with_the_time_of_the_database_to_end_the_next_window_at(store: Database) -> None:
    async with store.transaction() as connection:
        now = (await read_watermark(connection, org_id="grace", entity="people.Person")).now
    assert abs((datetime.now(UTC) - now).total_seconds()) < 60


async def test_it_moves_to_the_end_of_the_window_and_never_back(store: Database) -> None:
    run = await run_until(store, at(5))
    await advance(store, run)
    assert await watermark(store) == at(5)
    await advance(store, replace(run, window=replace(run.window, until=at(4))))
    assert await watermark(store) == at(5)
    await advance(store, replace(run, window=replace(run.window, until=at(6))))
    assert await watermark(store) == at(6)


async def test_without_a_window_everything_up_to_the_start_of_the_run_is_known(store: Database) -> None:
    run = await run_until(store, None)
    await advance(store, run)
    assert await watermark(store) == run.started_at


async def test_each_scope_has_its_own(store: Database) -> None:
    run = await run_until(store, at(5))
    await advance(store, replace(run, scope="17"))
    assert await watermark(store) is None
    assert await watermark(store, "17") == at(5)


async def test_it_does_not_move_when_the_transaction_fails(store: Database) -> None:
    run = await run_until(store, at(5))

    async def advance_and_fail() -> None:
        async with store.transaction() as connection:
            await advance_watermark(connection, run)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await advance_and_fail()
    assert await watermark(store) is None
