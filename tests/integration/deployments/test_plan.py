"""What `plan` announces: by the way in which parents are read themselves, and with what is left to the nights."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from benchmarks.workloads.large_plan import MOST_IN_A_NIGHT, MOST_IN_FULL, large_church
from deployments.operations.plan import make_plan
from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database
from tasks.request_plan import Planned

ORG = "grace"
CARDS = 2_000
_planned: dict[tuple[str, ...], dict[str, Planned]] = {}


@pytest.fixture(scope="module")
def large() -> Iterator[SimulatorProcess]:
    """400,000 donations, 500,000 check-ins, 9,000 households, 1,000 groups with 25 events."""
    with large_church() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def connected(
    monkeypatch: pytest.MonkeyPatch, store_url: str, redis_url: str, large: SimulatorProcess, store: object
) -> None:
    """The environment of a program that knows the church, and an empty mirror."""
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", store_url)
    monkeypatch.setenv("PCO_SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("PCO_SYNC_ORG_ID", ORG)
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", large.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", large.secret)
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", large.base_url)


async def plan(mode: str, *include: str) -> dict[str, Planned]:
    """By entity. It is the same each time, and a plan of everything takes seconds."""
    if (mode, *include) not in _planned:
        made = await make_plan(ORG, mode, list(include), [])  # type: ignore[arg-type]
        _planned[mode, *include] = {one.entity: one for one in made.planned}
    return _planned[mode, *include]


async def test_a_large_church_is_read_in_an_evening_and_its_night_in_less_than_an_hour() -> None:
    full, night = await plan("full"), await plan("rest")
    assert sum(one.requests for one in full.values()) <= MOST_IN_FULL
    assert sum(one.requests for one in night.values()) <= MOST_IN_A_NIGHT
    assert sum(one.left for one in full.values()) > 0
    assert full["people.ConnectedPerson"].left == 20_000
    assert full["people.ConnectedPerson"].requests == 0


async def test_lists_below_parents_are_as_many_as_these_have_where_they_are_read_themselves() -> None:
    """Each of the sampled people has a card, and one of ten people has: the workflows know how many there are."""
    planned = await plan("full", "people.Person", "people.Workflow", "people.WorkflowCard*")
    assert planned["people.WorkflowCard"].way == "below people.Workflow"
    assert planned["people.WorkflowCardNote"].lists == CARDS
    assert planned["people.WorkflowCardNote"].requests == CARDS


async def test_only_events_that_have_begun_have_an_attendance_and_only_those_of_a_week_are_asked_for_answers() -> None:
    events = await plan("full")
    assert events["groups.Attendance"].lists == 21_000
    assert events["groups.RSVP"].lists + events["groups.RSVP"].left == 25_000
    assert 1_000 <= events["groups.RSVP"].lists <= 1_300
    everything = await plan("full", "groups")
    assert (everything["groups.RSVP"].lists, everything["groups.RSVP"].left) == (25_000, 0)


async def test_summaries_are_announced_for_the_assignees_that_pco_names() -> None:
    planned = (await plan("full", "people.*Workflow*", "people.Person"))["people.WorkflowAssigneeWorkflowSummary"]
    assert (planned.lists, planned.left) == (10, 19_990)
    by_name = (await plan("full", "people.WorkflowAssigneeWorkflowSummary", "people.Person"))[planned.entity]
    assert (by_name.lists, by_name.left) == (20_000, 0)


async def test_a_night_counts_the_days_of_hot_windows() -> None:
    """An attendance once in 14 days, and six times for each of the thousand events of a week."""
    planned = (await plan("rest", "groups"))["groups.Attendance"]
    assert planned.lists == pytest.approx(21_000 / 14 + 6 * 1_000 / 7, rel=0.05)


async def test_a_steady_delta_costs_a_request_for_each_list_and_asks_no_product_whether_it_may_be_read(
    store: Database,
) -> None:
    lists = ["people.Email", "people.PhoneNumber", "giving.Batch"]
    async with store.transaction() as connection:
        for entity in lists:
            await connection.execute(
                text("INSERT INTO sync.watermarks VALUES (:org_id, :entity, '', now(), 1)"),
                {"org_id": ORG, "entity": entity},
            )
    steady = await make_plan(ORG, "delta", lists, [])
    assert {one.entity: one.requests for one in steady.planned} == dict.fromkeys(lists, 1)


async def test_what_is_excluded_is_not_said_to_be_read_where_the_church_does_not_keep_to_the_include(
    store: Database,
) -> None:
    async def in_vain() -> list[str]:
        return (await make_plan(ORG, "full", ["giving.Donation", "giving.Designation"], ["giving.Designation"])).in_vain

    assert await in_vain() == ["giving.Designation comes with giving.Donation"]
    async with store.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO sync.list_traits (org_id, entity, distrusted) VALUES (:org_id, 'giving.Donation', "
                "jsonb_build_object('designations', jsonb_build_object('at', now())))"
            ),
            {"org_id": ORG},
        )
    assert await in_vain() == []
