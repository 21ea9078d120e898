"""Each resource is read by the walk that PCO allows for it: by windows, from the newest record on, or as a whole."""

from collections.abc import Iterator

import pytest

from tests.church import Church
from tests.simulators import SimulatorProcess

ADDRESSES = "people.Address"
PEOPLE = 120
PAGES = 'SELECT part, reading, "offset" FROM sync.pages JOIN sync.runs USING (run_id) WHERE read_with IS NULL'


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=0) as simulator:
        long_ago = {"updated_at": "2024-01-01T00:00:00Z"}
        simulator.churn([{"operation": "create", "entity": ADDRESSES, "count": 40, "attributes": long_ago}])
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world, read ten records at a time."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "10")
    return church.served_by(world)


def test_what_can_only_be_ordered_by_the_change_is_read_from_the_newest_on(
    moving: Church, world: SimulatorProcess
) -> None:
    moving.sync(ADDRESSES)
    addresses = [one["id"] for one in world.state(ADDRESSES)]
    world.churn([{"operation": "edit", "entity": ADDRESSES, "id": one} for one in addresses[5:20]])
    world.reset_log()

    summary = moving.sync(ADDRESSES, mode="delta")

    assert (summary.changed, summary.fallback) == (15, "")
    assert summary.requests == len(world.access_log()) == 2, "the second page shows the first record from before"
    assert all("order=-updated_at" in one["query"] for one in world.access_log())
    assert moving.differences(ADDRESSES) == []


def test_a_killed_walk_in_windows_is_continued_in_the_same_windows(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PART_RECORDS", "30")
    world.faults([{"kind": "400", "at_request": 15}])
    assert moving.end(epoch="e").is_failed()
    kept = moving.sql(PAGES)
    world.reset_log()

    summary = moving.sync(epoch="e")

    assert summary.continued
    assert moving.differences() == []
    assert moving.reads().total() == len(moving.sql(PAGES)) - len(kept), "nothing is counted or read again"
    assert max(one["offset"] for one in world.access_log()) < 30


def test_a_hundred_thousand_that_changed_in_one_second_are_no_deep_offset(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here they are 120, and 30 would be deep."""
    moving.sync()
    monkeypatch.setenv("PCO_SYNC_PART_RECORDS", "30")
    at_once = {"updated_at": "2024-03-01T00:00:00Z", "status": "inactive"}
    everybody = [one["id"] for one in world.state("people.Person")]
    moving.sql("UPDATE sync.watermarks SET watermark = '2024-02-01'")
    world.churn(
        [{"operation": "edit", "entity": "people.Person", "id": one, "attributes": at_once} for one in everybody]
    )
    moving.sql("UPDATE people.person SET updated_at = '2024-01-01'")
    world.reset_log()

    summary = moving.sync(mode="delta")

    assert summary.changed == PEOPLE
    assert max(one["offset"] for one in world.access_log()) < 30
    assert moving.differences() == []


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_wrong_costs_no_record(moving: Church, world: SimulatorProcess, hours: int) -> None:
    """By PCO's clock everything is as it should be; this machine and its database are ahead of it, or behind."""
    world.clock(ahead_seconds=3600 * hours)
    world.churn([{"operation": "create", "entity": "people.Person", "attributes": {"last_name": "Before"}}])
    world.clock(ahead_seconds=3600 * hours + 5)
    moving.sync()
    assert moving.differences() == [], "who was created a moment ago is in the window"
    watermark = moving.sql("SELECT watermark, now() AS now FROM sync.watermarks")[0]
    lead = (watermark.watermark - watermark.now).total_seconds()
    assert abs(lead - 3600 * hours) < 60, "the next delta begins where PCO was"
    (changed,) = world.churn([{"operation": "edit", "entity": "people.Person", "place": 5}])
    world.clock(ahead_seconds=3600 * hours + 10)

    summary = moving.sync(mode="delta")

    assert summary.changed == 1
    assert moving.differences() == [], changed


@pytest.mark.parametrize("ahead", [-2, -1, 2])
def test_a_clock_that_is_a_second_or_two_off_costs_no_request(
    moving: Church, world: SimulatorProcess, ahead: int
) -> None:
    """Page 0 read twice made a list of two hundred pages wait for another window of the rate limit."""
    world.clock(ahead_seconds=ahead)
    world.reset_log()
    moving.sync()
    assert sorted(moving.reads().values()) == [1] * (PEOPLE // 10)
    assert moving.differences() == []
    world.reset_log()
    moving.sync(mode="delta")
    assert len(world.access_log()) == 1


@pytest.mark.parametrize("kind", ["no-total", "wrong-total", "links-only", "no-next", "no-next-no-total"])
def test_a_list_whose_count_or_next_page_is_not_told_is_read_to_its_end(
    moving: Church, world: SimulatorProcess, kind: str
) -> None:
    world.faults([{"kind": kind, "permanent": True}])
    moving.sync()
    assert moving.differences() == []


def test_where_pco_ignores_the_filter_without_saying_so_every_walk_is_still_right(
    moving: Church, world: SimulatorProcess
) -> None:
    world.ignore(["created_at", "updated_at"])
    moving.sync()
    assert moving.differences() == []
    world.churn([{"operation": "edit", "entity": "people.Person", "place": 100, "attributes": {"nickname": "Nick"}}])

    delta = moving.sync(mode="delta")

    assert delta.fallback == "PCO does not filter people.Person by updated_at any more"
    assert moving.differences() == []
    moving.sync(ADDRESSES)
    world.churn([{"operation": "edit", "entity": ADDRESSES, "place": 30, "attributes": {"city": "Elsewhere"}}])
    newest = moving.sync(ADDRESSES, mode="delta")
    assert newest.fallback == "PCO does not order people.Address by updated_at any more"
    assert moving.differences(ADDRESSES) == []
