"""No filter decides what exists: what it hides is found by the count of the whole list, and then all of it is read."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pco_store.database import Database
from pco_store.ledger.runs import run_totals
from tests.integration.mirror import stored
from tests.integration.syncing import people_sync, read_all
from tests.simulators import SimulatorProcess

PEOPLE_COUNT = 120
EVERYBODY = range(PEOPLE_COUNT)


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """A church of its own for each test."""
    with SimulatorProcess(people=PEOPLE_COUNT, groups=0) as process:
        yield process


def without_creation(simulator: SimulatorProcess, *places: int) -> None:
    """These people have no `created_at`: `where[created_at][lte]` leaves them out, as SQL does with nulls."""
    simulator.churn(
        [
            {
                "operation": "edit",
                "entity": "people.Person",
                "place": place,
                "attributes": {"created_at": None, "updated_at": "2024-01-02T03:04:05Z"},
            }
            for place in places
        ]
    )
    simulator.reset_log()


def everybody(simulator: SimulatorProcess) -> set[str]:
    return {one["id"] for one in simulator.state("people.Person")}


@pytest.mark.parametrize("page_size", [100, 25, 7])
@pytest.mark.parametrize("places", [(3, 40, 77, 100, 119), (0,), (119,)])
async def test_who_has_no_creation_time_is_mirrored_and_the_summary_says_why_all_was_read(
    store: Database, simulator: SimulatorProcess, places: tuple[int, ...], page_size: int
) -> None:
    without_creation(simulator, *places)
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=page_size)

    assert set(await stored(store)) == everybody(simulator)
    assert sync.evidence.fallback == f"PCO's filter by created_at leaves out {len(places)} records of people.Person"


async def test_a_list_of_one_page_is_read_without_any_filter_by_one_request(
    store: Database, simulator: SimulatorProcess
) -> None:
    without_creation(simulator, 3, 40)
    async with people_sync(store, simulator) as sync:
        simulator.churn(
            [{"operation": "delete", "entity": "people.Person", "place": place} for place in reversed(range(90, 120))]
        )
        await read_all(sync, page_size=100)

    assert set(await stored(store)) == everybody(simulator)
    assert len(simulator.access_log()) == 1
    assert sync.evidence.fallback == ""


async def test_a_long_list_is_not_divided_by_a_time_that_some_do_not_have(
    store: Database, simulator: SimulatorProcess
) -> None:
    without_creation(simulator, 3, 40, 77)
    async with people_sync(store, simulator) as sync:
        await read_all(replace(sync, part_records=30), page_size=10)

    assert set(await stored(store)) == everybody(simulator)
    assert sync.evidence.fallback == "PCO's filter by created_at leaves out 3 records of people.Person"


@pytest.mark.parametrize("part_records", [30, 25_000])
async def test_who_is_created_while_the_list_is_read_is_not_taken_for_hidden(
    store: Database, simulator: SimulatorProcess, part_records: int
) -> None:
    async with people_sync(store, simulator) as sync:
        before = everybody(simulator)
        simulator.churn([{"operation": "create", "entity": "people.Person", "count": 3}])
        await read_all(replace(sync, part_records=part_records), page_size=10)

    assert before <= set(await stored(store))
    assert sync.evidence.fallback == ""


async def test_where_nothing_is_hidden_that_costs_no_request(store: Database, simulator: SimulatorProcess) -> None:
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=10)
        async with store.transaction() as connection:
            totals = await run_totals(connection, sync.run)

    assert len(simulator.access_log()) == totals.pages == PEOPLE_COUNT / 10
    assert sync.evidence.fallback == ""


async def test_a_count_that_contradicts_its_pages_is_not_believed_and_no_filter_is_relied_on(
    store: Database, simulator: SimulatorProcess
) -> None:
    without_creation(simulator, 3)
    simulator.faults([{"kind": "wrong-total", "permanent": True}])
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=10)

    assert set(await stored(store)) == everybody(simulator)
    assert sync.evidence.fallback == "PCO's count of people.Person cannot be relied on"
