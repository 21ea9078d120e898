"""A page is applied exactly once, in one transaction; a bad record or a bad place never blocks the others."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from pco_simulator.trouble.poison import POISONS
from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.quarantine.items import list_quarantined
from pco_store.ledger.runs import run_totals
from pco_walks.window import Window
from tasks.pages.apply_page import apply_page
from tests.integration.mirror import at, stored
from tests.integration.syncing import page_of, people_sync, read_all
from tests.simulators import SimulatorProcess

PEOPLE_COUNT = 120


@pytest.fixture(scope="module")
def people() -> Iterator[SimulatorProcess]:
    """A church of its own for this module."""
    with SimulatorProcess(people=PEOPLE_COUNT, groups=0) as process:
        yield process


@pytest.fixture
def simulator(people: SimulatorProcess) -> SimulatorProcess:
    """The church, healthy again and with an empty log."""
    people.faults([])
    people.reset_log()
    return people


async def pages_in_ledger(store: Database) -> int:
    async with store.transaction() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM sync.pages")) or 0)


def requests(simulator: SimulatorProcess) -> int:
    return len(simulator.access_log())


async def test_a_page_brings_its_rows_and_its_receipt(store: Database, simulator: SimulatorProcess) -> None:
    async with people_sync(store, simulator) as sync:
        receipt = await apply_page(sync, page_of(sync), attempt=1)

    assert (receipt.rows, receipt.new, receipt.next_offset, receipt.total_count) == (100, 100, 100, PEOPLE_COUNT)
    assert receipt.requests == 1
    assert set(await stored(store)) == {one["id"] for one in simulator.state("people.Person")[:100]}
    assert await pages_in_ledger(store) == 1


async def test_how_long_a_run_has_waited_for_its_first_answer_is_known(
    store: Database, simulator: SimulatorProcess
) -> None:
    async with people_sync(store, simulator) as sync:
        opened_before = replace(sync, run=replace(sync.run, started_at=sync.run.started_at - timedelta(minutes=1)))
        await apply_page(opened_before, page_of(sync), attempt=1)

    assert timedelta(minutes=1) <= opened_before.evidence.answered_after < timedelta(minutes=2)


async def test_a_page_that_is_committed_is_not_asked_for_again(store: Database, simulator: SimulatorProcess) -> None:
    async with people_sync(store, simulator) as sync:
        page = page_of(sync)
        receipt = await apply_page(sync, page, attempt=1)
        assert await apply_page(sync, page, attempt=2) == receipt  # the commit's answer was lost: it is looked up
        known = replace(sync, committed={(0, 1, 0, 100): receipt})
        assert await apply_page(known, page, attempt=1) == receipt  # an earlier execution had committed it

    assert requests(simulator) == 1
    assert await pages_in_ledger(store) == 1


@pytest.mark.parametrize("took", [0, 60])
async def test_an_answer_that_comes_a_minute_late_is_not_taken_for_a_clock_that_is_a_minute_ahead(
    store: Database, simulator: SimulatorProcess, took: int
) -> None:
    simulator.clock(ahead_seconds=60)
    try:
        async with people_sync(store, simulator) as sync:
            until = sync.windows[0].until
            opened = sync.run.started_at - timedelta(seconds=took)
            run = replace(sync.run, window=replace(sync.run.window, until=until), started_at=opened)
            await read_all(replace(sync, run=run), page_size=100)
    finally:
        simulator.clock(ahead_seconds=0)

    assert (sync.evidence.corrected_until is not None) == (took == 0)
    assert len(await stored(store)) == PEOPLE_COUNT


async def test_a_list_of_one_page_completes_its_run_with_that_page_if_it_may(store: Database) -> None:
    told: list[bool] = []
    with SimulatorProcess(people=100, groups=0) as small:
        async with people_sync(store, small, epoch="may not") as sync:
            await apply_page(sync, page_of(sync), attempt=1)
        async with people_sync(store, small, epoch="may") as sync:
            may = replace(sync, on_completing=told.append)
            await apply_page(may, page_of(may), attempt=1)
        async with people_sync(store, small, epoch="lost") as sync:
            lost = replace(sync, run=replace(sync.run, fence=99), on_completing=told.append)
            with pytest.raises(LeaseLost):
                await apply_page(lost, page_of(lost), attempt=1)

    assert told == [True, True, False]
    assert await states_by_epoch(store) == {"may not": "running", "may": "completed", "lost": "running"}


async def states_by_epoch(store: Database) -> dict[str, str]:
    async with store.transaction() as connection:
        return {row.epoch: row.state for row in await connection.execute(text("SELECT epoch, state FROM sync.runs"))}


async def test_a_list_of_several_pages_does_not_end_with_the_first(
    store: Database, simulator: SimulatorProcess
) -> None:
    told: list[bool] = []
    async with people_sync(store, simulator, epoch="e") as sync:
        await apply_page(replace(sync, on_completing=told.append), page_of(sync), attempt=1)

    assert told == []
    assert await states_by_epoch(store) == {"e": "running"}


async def test_nothing_is_written_once_another_execution_has_taken_over(
    store: Database, simulator: SimulatorProcess
) -> None:
    async with people_sync(store, simulator, epoch="e") as late:
        async with store.transaction() as connection:
            await connection.execute(text("UPDATE sync.runs SET fence = fence + 1"))
        with pytest.raises(LeaseLost):
            await apply_page(late, page_of(late), attempt=1)

    assert await stored(store) == {}
    assert await pages_in_ledger(store) == 0


def poisoned(simulator: SimulatorProcess) -> dict[str, str]:
    """One record of the first page for each kind of poison: the kind by the record's id."""
    people = [one["id"] for one in simulator.state("people.Person")[: len(POISONS)]]
    simulator.faults(
        [{"kind": kind, "record_id": record, "permanent": True} for kind, record in zip(POISONS, people, strict=True)]
    )
    return dict(zip(people, POISONS, strict=True))


async def test_every_kind_of_bad_record_is_stored_or_put_aside_and_blocks_no_other(
    store: Database, simulator: SimulatorProcess
) -> None:
    kinds = poisoned(simulator)
    async with people_sync(store, simulator) as sync:
        receipt = await apply_page(sync, page_of(sync), attempt=1)
        async with store.transaction() as connection:
            aside = await list_quarantined(connection, sync.run.org_id)

    without_identity = {"missing-id", "null-id", "empty-id", "wrong-record-type", "attributes-list", "not-an-object"}
    mirror = await stored(store)
    everyone = {one["id"] for one in simulator.state("people.Person")[:100]}
    assert everyone - set(mirror) == {record for record, kind in kinds.items() if kind in without_identity}
    assert receipt.quarantined == len(aside) == len(without_identity)
    assert all(one.raw for one in aside)
    assert receipt.rows == 101  # one of them came twice
    assert receipt.misfits >= 4


async def test_a_place_that_cannot_be_served_is_isolated_and_all_other_people_arrive(
    store: Database, simulator: SimulatorProcess
) -> None:
    bad = simulator.state("people.Person")[77]["id"]
    simulator.faults([{"kind": "500", "record_id": bad, "permanent": True}])
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=40)
        async with store.transaction() as connection:
            (aside,) = await list_quarantined(connection, sync.run.org_id)
            totals = await run_totals(connection, sync.run)

    assert (aside.offset, aside.record_id, aside.raw) == (77, None, None)
    assert set(await stored(store)) == {one["id"] for one in simulator.state("people.Person")} - {bad}
    assert (totals.distinct_ids, totals.quarantined) == (PEOPLE_COUNT - 1, 1)


async def test_a_whole_walk_asks_once_for_each_page_and_mirrors_value_by_value(
    store: Database, simulator: SimulatorProcess
) -> None:
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=25)

    assert requests(simulator) == 5
    mirror = await stored(store)
    for one in simulator.state("people.Person"):
        row: dict[str, Any] = mirror[one["id"]]._mapping
        for name in ("first_name", "last_name", "status", "membership"):
            assert row[name] == one["attributes"].get(name)


async def test_a_delta_whose_filter_is_ignored_reads_everything_and_says_why(
    store: Database, simulator: SimulatorProcess
) -> None:
    unknown = Window(attribute="not_a_filter", since=at(0), until=at(1))
    async with people_sync(store, simulator, window=unknown) as sync:
        await read_all(sync, page_size=100)
        async with store.transaction() as connection:
            parts = await connection.scalar(text("SELECT parts FROM sync.runs"))

    assert len(await stored(store)) == PEOPLE_COUNT
    assert sync.evidence.fallback == parts["why"] == "PCO does not filter people.Person by not_a_filter any more"


async def test_a_list_that_is_not_in_the_order_asked_for_is_read_as_a_whole(
    store: Database, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PCO ignores an order it does not know, and answers by id."""
    unknown = property(lambda window: "-not_an_order" if window.is_newest_first else None)
    monkeypatch.setattr(Window, "order", unknown)
    newest = Window(attribute=None, since=at(0), until=at(1))
    async with people_sync(store, simulator, window=newest) as sync:
        await read_all(sync, page_size=100)

    assert len(await stored(store)) == PEOPLE_COUNT
    assert sync.evidence.fallback == "PCO does not order people.Person by updated_at any more"


async def test_from_the_newest_record_on_no_more_is_read_than_the_window_holds(
    store: Database, simulator: SimulatorProcess
) -> None:
    people = sorted(simulator.state("people.Person"), key=lambda one: one["attributes"]["updated_at"], reverse=True)
    since = datetime.fromisoformat(people[25]["attributes"]["updated_at"])
    async with people_sync(store, simulator, window=Window(attribute=None, since=since, until=at(1))) as sync:
        await read_all(sync, page_size=10)
    mirrored = await stored(store)

    assert {one["id"] for one in people if datetime.fromisoformat(one["attributes"]["updated_at"]) >= since} <= set(
        mirrored
    )
    assert len(mirrored) < 60
    assert sync.evidence.fallback == ""


async def test_a_long_list_is_read_in_windows_of_time_and_no_offset_is_deep(
    store: Database, simulator: SimulatorProcess
) -> None:
    async with people_sync(store, simulator) as sync:
        sync = replace(sync, part_records=30)
        await read_all(sync, page_size=10)
        async with store.transaction() as connection:
            totals = await run_totals(connection, sync.run)
    log = simulator.access_log()

    assert set(await stored(store)) == {one["id"] for one in simulator.state("people.Person")}
    assert totals.distinct_ids == PEOPLE_COUNT
    assert max(one["offset"] for one in log) < 30
    assert len(log) == totals.pages + sync.patient.requests


async def test_a_full_walk_whose_bound_is_ignored_stores_and_no_longer_trusts_the_count(
    store: Database, simulator: SimulatorProcess
) -> None:
    unknown = Window(attribute="not_a_filter", since=None, until=at(1))
    async with people_sync(store, simulator, window=unknown) as sync:
        await read_all(sync, page_size=100)

    assert sync.evidence.window_ignored
    assert len(await stored(store)) == PEOPLE_COUNT
