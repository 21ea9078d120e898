"""What the walk of a full sync costs in requests, by the simulator's own log, is what `plan` announces."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pco_store.database import Database
from pco_walks.parts import EARLIEST
from pco_walks.ways import Way
from pco_walks.window import Window
from tasks.request_plan import RequestPlan, pages_of
from tasks.settings import SyncSettings
from tests.integration.syncing import people_sync, read_all
from tests.simulators import SimulatorProcess

PEOPLE = 40
FULL = Window(attribute="created_at", since=None, until=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1))
SINCE = replace(FULL, since=EARLIEST)
"""The same records, as a delta's window."""


@pytest.fixture(scope="module")
def people() -> Iterator[SimulatorProcess]:
    """A church of its own for this module."""
    with SimulatorProcess(people=PEOPLE, groups=0) as process:
        yield process


async def requests_of_a_sync(
    store: Database,
    people: SimulatorProcess,
    *,
    page_size: int,
    epoch: str | None = None,
    window: Window | None = None,
    part_records: int = 25_000,
) -> int:
    """How many requests the simulator has seen."""
    people.reset_log()
    async with people_sync(store, people, epoch=epoch, window=window) as sync:
        await read_all(replace(sync, part_records=part_records), page_size=page_size)
        assert sync.evidence.fallback == ""
    return len(people.access_log())


@pytest.mark.parametrize("page_size", [100, 40, 20, 3])
async def test_a_quiet_list_costs_what_the_plan_announces(
    store: Database, people: SimulatorProcess, page_size: int
) -> None:
    sent = await requests_of_a_sync(store, people, page_size=page_size)
    assert sent == pages_of(PEOPLE, window=FULL, page_size=page_size, part_records=25_000)


async def test_a_delta_that_is_divided_costs_one_count_less_than_a_full_list_that_is_divided_alike(
    store: Database, people: SimulatorProcess
) -> None:
    """What opens a delta counts its window; what opens a full list counts all, and its window is counted after that."""
    sent = [
        await requests_of_a_sync(store, people, epoch=epoch, page_size=5, window=window, part_records=10)
        for epoch, window in (("full", FULL), ("delta", SINCE))
    ]
    announced = [pages_of(PEOPLE, window=window, page_size=5, part_records=10) for window in (FULL, SINCE)]
    assert sent[0] - sent[1] == announced[0] - announced[1] == 1


@pytest.mark.parametrize(("part_records", "is_exact"), [(PEOPLE, True), (PEOPLE - 1, False)])
async def test_the_cost_of_a_list_that_is_divided_is_announced_as_an_estimate(
    store: Database, people: SimulatorProcess, part_records: int, is_exact: bool
) -> None:
    settings = SyncSettings.model_construct(part_records=part_records)
    async with people_sync(store, people, epoch=f"plan-{part_records}") as sync:
        plan = RequestPlan(client=sync.patient, settings=settings, watermarks={})
        (planned,) = await plan.plan([Way(entity=sync.entity)])
    assert (planned.records, planned.is_exact) == (PEOPLE, is_exact)


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
    assert sent <= pages_of(PEOPLE, window=FULL, page_size=10, part_records=25_000) + 5
