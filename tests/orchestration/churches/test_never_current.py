"""A church that is never current: what fails leaves one unfinished turn, and keeps nothing else from going on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows.sync_organization import EntitiesFailedError, sync_organization
from pco_client.errors import Unauthorized
from tests.church import PEOPLE, Church
from tests.simulators import SimulatorProcess

LISTS = ["people.Campus", "groups.Group"]
ADDRESSES, ADDRESSES_PATH = "people.Address", "/people/v2/addresses"


def rows_of(church: Church) -> list[int]:
    tables = ("runs", "pages", "watermarks", "answers", "unshown", "quarantine", "announced")
    return [church.sql(f"SELECT count(*) FROM sync.{table}")[0][0] for table in tables]


def test_each_try_continues_the_turn_that_is_unfinished(church: Church) -> None:
    church.simulator.faults([{"kind": "401", "permanent": True}])
    counted = []
    for _ in range(4):
        with pytest.raises(Unauthorized):
            sync_organization("grace", mode="delta", include=LISTS)
        counted.append(rows_of(church))
        pass_hours(church, 2)
    assert counted == [counted[0]] * 4

    church.simulator.faults([])
    sync_organization("grace", mode="delta", include=LISTS)
    assert [one.state for one in church.runs() if one.entity == "organization"] == ["completed"]


@pytest.fixture
def moving(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church in a world that changes, and that was read completely."""
    with SimulatorProcess(people=30, groups=4) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        found = church.served_by(world)
        sync_organization("grace", include=[PEOPLE, ADDRESSES])
        yield found


def pass_hours(church: Church, hours: int) -> None:
    church.sql("UPDATE sync.runs SET started_at = started_at - make_interval(hours => :hours)", hours=hours)


def edit(church: Church, entity: str, place: int, **attributes: str) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"operation": "edit", "entity": entity, "place": place, "attributes": {**attributes, "updated_at": at}}
    church.simulator.churn([told])


@pytest.mark.parametrize(("mode", "hours"), [("delta", 2), ("lists", 13)])
def test_a_list_that_fails_every_time_keeps_no_other_from_being_read(moving: Church, mode: str, hours: int) -> None:
    moving.simulator.faults([{"kind": "422", "path": ADDRESSES_PATH, "permanent": True}])
    edit(moving, ADDRESSES, 0, city="Lindau")
    for number in range(3):
        edit(moving, PEOPLE, number, nickname=f"number {number}")
        with pytest.raises(EntitiesFailedError, match=r"failed: people\.Address"):
            sync_organization("grace", mode=mode, include=[PEOPLE, ADDRESSES])
        assert moving.differences() == [], f"the people of try {number}"
        pass_hours(moving, hours)
    unfinished = [one.entity for one in moving.runs() if one.state not in ("completed", "closed")]
    assert sorted(unfinished) == ["organization", ADDRESSES], "of the last try only"

    moving.simulator.faults([])
    sync_organization("grace", mode=mode, include=[PEOPLE, ADDRESSES])
    assert moving.differences(ADDRESSES) == []


def test_a_turn_that_was_cancelled_is_continued_no_longer(moving: Church) -> None:
    """Next week its start would take last week's lists for read."""
    moving.simulator.faults([{"kind": "422", "path": ADDRESSES_PATH, "permanent": True}])
    with pytest.raises(EntitiesFailedError):
        sync_organization("grace", mode="lists", include=[PEOPLE, ADDRESSES])
    moving.sql("UPDATE sync.runs SET state = 'cancelled' WHERE state = 'failed'")
    moving.simulator.faults([])
    edit(moving, PEOPLE, 0, nickname="new")
    pass_hours(moving, 7 * 24)
    sync_organization("grace", mode="lists", include=[PEOPLE, ADDRESSES])
    assert moving.differences() == []


@pytest.mark.parametrize(("mode", "hours"), [("delta", 0), ("lists", 11)])
def test_within_its_hours_only_what_failed_is_read_again(moving: Church, mode: str, hours: int) -> None:
    moving.simulator.faults([{"kind": "422", "path": ADDRESSES_PATH, "permanent": True}])
    with pytest.raises(EntitiesFailedError):
        sync_organization("grace", mode=mode, include=[PEOPLE, ADDRESSES])
    pass_hours(moving, hours)
    moving.simulator.faults([])
    moving.simulator.reset_log()
    sync_organization("grace", mode=mode, include=[PEOPLE, ADDRESSES])
    assert {one["path"] for one in moving.simulator.access_log() if "per_page" in one["query"]} == {ADDRESSES_PATH}
