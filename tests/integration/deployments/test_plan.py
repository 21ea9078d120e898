"""What `plan` announces: by the way in which parents are read themselves, and with what is left to the nights."""

import io
import json
import re
from collections.abc import Iterator

import pytest
from rich.console import Console
from sqlalchemy import text

from benchmarks.workloads.large_plan import MOST_IN_A_NIGHT, MOST_IN_FULL, large_church
from deployments.operations.plan import ChurchPlan, Night, make_plan, show_plan
from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database
from pco_walks.ways import OrganizationMode
from tasks.request_plan import Planned

ORG = "grace"
CARDS = 2_000
_made: dict[tuple[str, ...], ChurchPlan] = {}


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


async def made(mode: OrganizationMode, *include: str) -> ChurchPlan:
    """It is the same each time, and a plan of everything takes seconds."""
    if (mode, *include) not in _made:
        _made[mode, *include] = await make_plan(ORG, mode, list(include), [])
    return _made[mode, *include]


async def plan(mode: OrganizationMode, *include: str) -> dict[str, Planned]:
    """By entity."""
    return {one.entity: one for one in (await made(mode, *include)).planned}


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


async def test_a_steady_delta_costs_a_request_for_each_list_and_neither_it_nor_a_night_asks_what_may_be_read(
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
    night = await make_plan(ORG, "rest", ["giving.Fund"], [])
    assert {one.entity: one.requests for one in night.planned} == {"giving.Fund": 1}


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


async def test_the_plan_of_a_full_sync_shows_a_night_and_a_quiet_day_of_each_kind_and_in_sum() -> None:
    full, night = await made("full"), await made("rest")
    assert full.night is not None
    nightly = {one.entity: one.requests for one in night.planned}
    for product in ("calendar", "check-ins", "giving", "people", "registrations", "services"):
        assert nightly.pop(product) == 1, "the deltas of a current church have read it lately"
    assert {one.entity: one.night for one in full.planned if one.night} == nightly
    assert (full.night.due, full.lists_of_a_delta) == (sum(nightly.values()), 48)
    assert full.day == 96 * 48 + 6_000, "the budget is less than what is due"
    by_entity = {one.entity: one for one in full.planned}
    day = 24 * 60
    assert {name: (by_entity[name].day, by_entity[name].age_minutes) for name in ("people.Email", "groups.Person")} == {
        "people.Email": (96, 15),
        "groups.Person": (nightly["groups.Person"], day),
    }
    assert by_entity["groups.Membership"].age_minutes == 14 * day
    assert by_entity["people.ConnectedPerson"].age_minutes == 56 * day


async def test_a_night_costs_its_budget_at_most_but_for_the_lists_at_top_level() -> None:
    assert [Night(due=700, at_top=100).sent(budget) for budget in (1_000, 500, 50)] == [700, 500, 100]
    made_at_night = await made("rest")
    assert made_at_night.night is not None
    assert made_at_night.night.sent(6_000) == 6_000 < made_at_night.requests == made_at_night.night.due
    at_top = [one.requests for one in made_at_night.planned if not one.way.startswith("below")]
    assert made_at_night.night.at_top == sum(at_top)


async def test_what_pco_cannot_count_is_named() -> None:
    planned = (await plan("rest")).values()
    assert {one.entity for one in planned if one.has_more_in_a_night} == {
        "services.Item",
        "services.NeededPosition",
        "services.PlanPerson",
    }


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("delta", ["the delta sync", "reads 48 lists in full, for the first time"]),
        (
            "full",
            ["the full sync", "leaves", "due: lists get older", "a quiet day", "~10,608", "96 deltas of 48 lists"],
        ),
        (
            "rest",
            ["a night", "~6,000", "due: lists get older", "services.PlanPerson that a night", "age:", "56 days"],
        ),
    ],
)
async def test_the_sums_of_a_plan_are_read_on_80_columns(mode: OrganizationMode, told: list[str]) -> None:
    terminal = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None, legacy_windows=False)
    await show_plan(ORG, mode, [], [], terminal, as_json=False)
    shown = re.sub(r"\x1b\[\w+", "", terminal.file.getvalue())  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 80
    for one in told:
        assert one in " ".join(shown.split())


async def test_a_program_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    await show_plan(ORG, "full", ["groups.Group", "people.Email"], [], Console(file=io.StringIO()), as_json=True)
    told = json.loads(capsys.readouterr().out)
    ways = {one["entity"]: one for one in told["ways"]}
    assert told["night"] == {"due": 16, "budget": 6_000, "requests": 16}
    assert told["day"] == {"deltas": 96, "lists": 1, "requests": 96 + 16}
    assert (ways["groups.Group"]["night"], ways["groups.Group"]["age_minutes"]) == (15, 24 * 60)
    assert (ways["people.Email"]["night"], ways["people.Email"]["day"]) == (0, 96)
