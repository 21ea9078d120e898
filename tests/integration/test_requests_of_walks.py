"""What the walk of a full sync costs in requests, by the simulator's own log, is what `plan` announces."""

from collections.abc import Iterator

import pytest

from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database
from tasks.request_plan import pages_of
from tests.integration.syncing import people_sync, read_all

PEOPLE = 40


@pytest.fixture(scope="module")
def people() -> Iterator[SimulatorProcess]:
    """A church of its own for this module."""
    with SimulatorProcess(people=PEOPLE, groups=0) as process:
        yield process


async def requests_of_a_sync(store: Database, people: SimulatorProcess, *, page_size: int) -> int:
    """How many requests the simulator has seen."""
    people.reset_log()
    async with people_sync(store, people) as sync:
        await read_all(sync, page_size=page_size)
        assert sync.counters.fallback == ""
    return len(people.access_log())


@pytest.mark.parametrize("page_size", [100, 40, 20, 3])
async def test_a_quiet_list_costs_what_the_plan_announces(
    store: Database, people: SimulatorProcess, page_size: int
) -> None:
    sent = await requests_of_a_sync(store, people, page_size=page_size)
    assert sent == pages_of(PEOPLE, page_size=page_size, bounded=True, part_records=25_000)


async def test_records_of_the_last_seconds_cost_five_requests_more_at_most(
    store: Database, people: SimulatorProcess
) -> None:
    """A page behind the window, three counts that show that nothing is hidden, and the first page once more."""
    before = {one["id"] for one in people.state("people.Person")}
    create = {"operation": "create", "entity": "people.Person", "count": 3, "attributes": {}, "after_request": 0}
    people.churn([create])
    try:
        sent = await requests_of_a_sync(store, people, page_size=10)
    finally:
        created = [one["id"] for one in people.state("people.Person") if one["id"] not in before]
        people.churn([{"operation": "delete", "entity": "people.Person", "id": one} for one in created])
    assert sent <= pages_of(PEOPLE, page_size=10, bounded=True, part_records=25_000) + 5
