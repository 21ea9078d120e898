"""Records of the simulated church fit together, so that what is computed of them can be believed."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pco_simulator.contents.churn import Change
from pco_simulator.contents.world import World


@pytest.fixture
def world() -> World:
    """A church of some size."""
    return World(seed=1, people=101, groups=7)


def state(world: World, name: str) -> list[dict[str, Any]]:
    """Every record of an entity."""
    found: list[Any] = world.state(name)
    return found


def target(record: dict[str, Any], name: str) -> str:
    """The id that a relationship to one record names."""
    return str(record["relationships"][name]["data"]["id"])


def below(world: World, path: str) -> list[dict[str, Any]]:
    """What a list shows."""
    place: Any = world.locate(path)
    return [place.listing.document(one) for one in place.ids]


def test_the_counts_grow_with_the_church_and_are_moderate() -> None:
    found = {name: len(World(seed=1, people=1000, groups=50).collection(name).ids) for name in COUNTS}
    assert found == COUNTS


COUNTS = {
    "people.FieldDefinition": 8,
    "people.FieldDatum": 4000,
    "people.HouseholdMembership": 999,
    "groups.Membership": 500,
    "groups.Event": 600,
    "groups.Attendance": 6000,
    "giving.Person": 1000,
    "giving.Fund": 4,
    "giving.Donation": 1000,
    "giving.Designation": 1500,
    "giving.DesignationRefund": 25,
    "check-ins.Person": 1000,
    "check-ins.Event": 3,
    "check-ins.EventPeriod": 78,
    "check-ins.EventTime": 78,
    "check-ins.CheckIn": 2000,
    "services.Plan": 3,
}


def test_a_person_has_one_value_for_a_field_and_several_for_checkboxes(world: World) -> None:
    kinds = {str(one["id"]): one["attributes"]["data_type"] for one in state(world, "people.FieldDefinition")}
    data = state(world, "people.FieldDatum")
    filled = Counter((target(one, "customizable"), target(one, "field_definition")) for one in data)
    assert {kinds[field] for (_, field), times in filled.items() if times > 1} == {"checkboxes"}
    assert {one["relationships"]["customizable"]["data"]["type"] for one in data} == {"Person"}
    assert len({person for person, _ in filled}) == 101
    assert {field for _, field in filled} == kinds.keys()


def test_a_donation_is_the_sum_of_its_designations_which_do_not_name_it(world: World) -> None:
    for donation in state(world, "giving.Donation"):
        parts = below(world, f"/giving/v2/donations/{donation['id']}/designations")
        assert sum(one["attributes"]["amount_cents"] for one in parts) == donation["attributes"]["amount_cents"]
        assert all(one["relationships"].keys() == {"fund"} for one in parts)
        assert len({target(one, "fund") for one in parts}) == len(parts) > 0


def test_only_what_was_refunded_has_refunds(world: World) -> None:
    for donation in state(world, "giving.Donation"):
        refunds = below(world, f"/giving/v2/donations/{donation['id']}/refund/designation_refunds")
        parts = {str(one["id"]) for one in below(world, f"/giving/v2/donations/{donation['id']}/designations")}
        assert bool(refunds) == donation["attributes"]["refunded"]
        assert {target(one, "designation") for one in refunds} <= parts


def test_a_parent_that_is_not_named_can_be_told_of_a_new_record(world: World) -> None:
    donation = world.collection("giving.Donation").ids[5]
    change = Change(operation="create", entity="giving.Designation", relationships={"donation": donation})
    (created,) = change.apply(world)
    Change(operation="edit", entity="giving.Designation", id=created, attributes={"amount_cents": 1}).apply(world)
    shown = below(world, f"/giving/v2/donations/{donation}/designations")[-1]
    assert shown["links"]["self"].endswith(f"/giving/v2/donations/{donation}/designations/{created}")
    assert (shown["id"], shown["attributes"]["amount_cents"]) == (str(created), 1)
    assert "donation" not in shown["relationships"]


def test_the_members_of_a_group_are_listed_at_its_events(world: World) -> None:
    members = defaultdict(set)
    for one in state(world, "groups.Membership"):
        members[target(one, "group")].add(target(one, "person"))
    for event in state(world, "groups.Event"):
        listed = below(world, f"/groups/v2/events/{event['id']}/attendances")
        assert {target(one, "person") for one in listed} == members[target(event, "group")]
        assert any(one["attributes"]["attended"] for one in listed)


def test_a_household_has_the_members_it_names(world: World) -> None:
    for household in state(world, "people.Household"):
        listed = below(world, f"/people/v2/households/{household['id']}/household_memberships")
        named = [one["id"] for one in household["relationships"]["people"]["data"]]
        assert [target(one, "person") for one in listed] == named


def test_people_are_checked_in_when_the_event_begins_and_each_once(world: World) -> None:
    begins = {str(one["id"]): one["attributes"]["starts_at"] for one in state(world, "check-ins.EventPeriod")}
    check_ins = state(world, "check-ins.CheckIn")
    created = [one["attributes"]["created_at"] for one in check_ins]
    assert created == sorted(created), "ids grow with time"
    assert all(one["attributes"]["created_at"] >= begins[target(one, "event_period")] for one in check_ins)
    assert len({(target(one, "event_period"), target(one, "person")) for one in check_ins}) == len(check_ins)
    assert begins.keys() == {target(one, "event_period") for one in check_ins}


@pytest.mark.parametrize(("people", "groups"), [(0, 0), (1, 1), (2, 0)])
def test_a_church_of_nobody_can_be_told_of_too(people: int, groups: int) -> None:
    world = World(seed=1, people=people, groups=groups)
    for name in COUNTS:
        state(world, name)


NOW = datetime(2031, 5, 14, 9, 30, tzinfo=UTC)


def test_groups_meet_in_the_weeks_around_now_and_people_were_checked_in_until_now() -> None:
    world = World(seed=1, people=101, groups=9, now=NOW)
    assert abs(world.now() - NOW) < timedelta(minutes=1)
    events = {
        str(one["id"]): datetime.fromisoformat(one["attributes"]["starts_at"]) for one in state(world, "groups.Event")
    }
    by_group = defaultdict(list)
    for one in state(world, "groups.Event"):
        by_group[target(one, "group")].append(events[one["id"]] - NOW)
    for times in by_group.values():
        assert sum(timedelta() <= one <= timedelta(weeks=4) for one in times) == 4
        assert sum(timedelta(weeks=-4) <= one < timedelta() for one in times) == 4
        assert max(times) <= timedelta(weeks=4)
    attended = [one for one in state(world, "groups.Attendance") if one["attributes"]["attended"]]
    assert max(events[target(one, "event")] for one in attended) < NOW
    assert {target(one, "event") for one in state(world, "groups.RSVP")} == {one for one in events if events[one] > NOW}
    created = [datetime.fromisoformat(one["attributes"]["created_at"]) for one in state(world, "check-ins.CheckIn")]
    assert timedelta() < NOW - max(created) < timedelta(weeks=1)
    assert created == sorted(created)


def test_a_church_without_a_time_of_its_own_is_the_same_on_every_day() -> None:
    starts = [one["attributes"]["starts_at"] for one in state(World(seed=1, people=9, groups=2), "groups.Event")]
    assert (min(starts)[:7], max(starts)[:7]) == ("2024-09", "2024-11")


def test_donors_gave_first_when_their_first_donation_was_created(world: World) -> None:
    given = defaultdict(list)
    for one in state(world, "giving.Donation"):
        if one["relationships"]["person"]["data"]:
            given[target(one, "person")].append(one["attributes"]["created_at"])
    first = {str(one["id"]): one["attributes"]["first_donated_at"] for one in state(world, "giving.Person")}
    assert {person: min(times) for person, times in given.items()} == {one: time for one, time in first.items() if time}
    assert 0 < len(given) < len(first)
    assert sum(map(len, given.values())) < len(state(world, "giving.Donation")), "some donors are not known"
    with_methods = {one for one in first if below(world, f"/giving/v2/people/{one}/payment_methods")}
    assert with_methods < given.keys()
    assert with_methods


def test_a_gift_is_the_sum_of_its_parts_and_can_be_refunded_once(world: World) -> None:
    made = Change(operation="give", entity="giving.Donation", count=2, relationships={"person": 99999004}).apply(world)
    test_a_donation_is_the_sum_of_its_designations_which_do_not_name_it(world)
    test_only_what_was_refunded_has_refunds(world)
    for donation in made:
        Change(operation="refund", entity="giving.Donation", id=donation).apply(world)
    test_only_what_was_refunded_has_refunds(world)
    refunds = {one["id"]: one["attributes"]["amount_cents"] for one in state(world, "giving.Refund")}
    donations = {one["id"]: one for one in state(world, "giving.Donation")}
    for identifier in map(str, made):
        assert refunds[identifier] == donations[identifier]["attributes"]["amount_cents"] > 0
        assert target(donations[identifier], "person") == "99999004"
    with pytest.raises(ValueError, match="is refunded already"):
        Change(operation="refund", entity="giving.Donation", id=made[0]).apply(world)
    with pytest.raises(ValueError, match=r"about giving\.Donation"):
        Change(operation="give", entity="people.Person")


def test_few_people_are_in_charge_of_many_cards(world: World) -> None:
    cards = state(world, "people.WorkflowCard")
    assignees = {target(one, "assignee") for one in cards}
    assert len(cards) == 10
    assert {target(one, "person") for one in state(world, "people.WorkflowAssigneeSummary")} >= assignees
    steps = {one["id"]: target(one, "workflow") for one in state(world, "people.WorkflowStep")}
    for card in cards:
        assert steps[target(card, "current_step")] == target(card, "workflow")
        person = target(card, "person")
        assert card["id"] in [one["id"] for one in below(world, f"/people/v2/people/{person}/workflow_cards")]
        for edge in ("notes", "activities"):
            assert len(below(world, f"/people/v2/people/{person}/workflow_cards/{card['id']}/{edge}")) == 1
    for number, one in enumerate(state(world, "people.Person")):
        listed = below(world, f"/people/v2/people/{one['id']}/workflow_assignee_workflow_summaries")
        assert {target(each, "workflow") for each in listed} == (set(steps.values()) if number < 10 else set())


def test_services_have_the_size_that_is_asked_for() -> None:
    world = World(seed=1, people=9, groups=1, volunteers=40, plans=20, now=NOW)
    plans = state(world, "services.Plan")
    assert (len(plans), len(state(world, "services.Person"))) == (20, 40)
    times = [datetime.fromisoformat(one["attributes"]["sort_date"]) for one in plans]
    assert times == sorted(times)
    assert NOW + timedelta(weeks=3) < times[-1] <= NOW + timedelta(weeks=4)
    starts = {one["id"]: one["attributes"]["starts_at"] for one in state(world, "services.PlanTime")}
    for plan in plans:
        address = f"/services/v2/service_types/{target(plan, 'service_type')}/plans/{plan['id']}"
        assert plan["links"]["self"].endswith(address)
        listed = below(world, f"{address}/items")
        assert len(listed) == plan["attributes"]["items_count"] == 8
        for item in listed:
            assert item["links"]["self"].endswith(f"{address}/items/{item['id']}")
            (note,) = below(world, f"{address}/items/{item['id']}/item_notes")
            assert note["links"]["self"].endswith(f"{address}/items/{item['id']}/item_notes/{note['id']}")
        assert (
            min(starts[one["id"]] for one in below(world, f"{address}/plan_times")) == plan["attributes"]["sort_date"]
        )
        assert len(below(world, f"{address}/team_members")) == plan["attributes"]["plan_people_count"] == 10
    for person in state(world, "services.Person"):
        address = f"/services/v2/people/{person['id']}"
        assert len(below(world, f"{address}/person_team_position_assignments")) == 2
        assert len(below(world, f"{address}/emails")) == 1
        assert below(world, f"{address}/plan_people")


def test_volunteers_without_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="volunteers and plans, or neither"):
        World(seed=1, people=1, groups=1, volunteers=3)
