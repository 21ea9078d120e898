"""Counts and ids that owners have of others are right at first, and move with them."""

from typing import Any

import pytest

from pco_simulator.contents.churn import Change
from pco_simulator.invented.counted import COUNTED, Counted
from pco_simulator.simulator import Simulator
from tests.unit.pco_simulator.asking import ids, page, simulator


def counts(one: Simulator, counted: Counted) -> dict[str, Any]:
    return {each["id"]: each["attributes"][counted.attribute] for each in one.state(counted.owner)}


def numbers(one: Simulator, counted: Counted) -> dict[str, Any]:
    children, owners = one.world.collection(counted.child), one.world.collection(counted.owner)
    return {str(each): len(children.children_of(counted.relationship, each)) for each in owners.ids}


@pytest.mark.parametrize("counted", COUNTED, ids=lambda one: f"{one.owner}.{one.attribute}")
def test_a_count_is_right_and_moves_with_what_comes_goes_and_changes_owners(counted: Counted) -> None:
    one = simulator(people=31, groups=4)
    first, second = one.world.collection(counted.owner).ids[:2]
    before = counts(one, counted)
    updated = {each["id"]: each["attributes"].get("updated_at") for each in one.state(counted.owner)}
    assert before == numbers(one, counted)

    def change(operation: str, **what: Any) -> list[int]:
        made = Change(operation=operation, entity=counted.child, **what).apply(one.world)
        assert counts(one, counted) == numbers(one, counted)
        return made

    moved, gone, _ = change("create", count=3, relationships={counted.relationship: first})
    change("edit", id=moved, relationships={counted.relationship: second})
    change("delete", id=gone)
    after = counts(one, counted)
    assert (after[str(first)], after[str(second)]) == (before[str(first)] + 1, before[str(second)] + 1)
    change("restore", id=gone)
    assert counts(one, counted)[str(first)] == before[str(first)] + 2
    assert {each["id"]: each["attributes"].get("updated_at") for each in one.state(counted.owner)} == updated


def test_a_household_names_who_is_in_it() -> None:
    one = simulator(people=31)
    path, member = "/people/v2/households", one.world.collection("people.HouseholdMembership").ids[1]
    household = page(one, path)["data"][0]
    named = [each["id"] for each in household["relationships"]["people"]["data"]]
    Change(operation="delete", entity="people.HouseholdMembership", id=member).apply(one.world)
    assert ids(page(one, f"{path}/{household['id']}/people")) == [named[0], named[2]]
    joined = one.world.collection("people.Person").ids[20]
    new = {"household": household["id"], "person": joined}
    Change(operation="create", entity="people.HouseholdMembership", relationships=new).apply(one.world)
    after = page(one, f"{path}/{household['id']}")["data"]
    assert [each["id"] for each in after["relationships"]["people"]["data"]] == [named[0], named[2], str(joined)]


def test_a_list_was_refreshed_when_its_results_changed() -> None:
    one = simulator(people=31)
    path = "/people/v2/lists"
    first, second = (each["attributes"]["refreshed_at"] for each in page(one, path)["data"][:2])
    owner = ids(page(one, path))[0]
    Change(operation="create", entity="people.ListResult", relationships={"list": owner}).apply(one.world)
    found = [each["attributes"]["refreshed_at"] for each in page(one, path)["data"][:2]]
    assert found[0] > first
    assert found[1] == second


def test_who_was_checked_in_to_an_event_has_a_record_that_says_how_often() -> None:
    one = simulator(people=31)
    assert visits(one) == recorded(one)
    assert set(recorded(one).values()) == {2}
    check_ins = one.world.collection("check-ins.CheckIn")
    person, period = one.world.collection("check-ins.Person").ids[3], one.world.collection("check-ins.EventPeriod").ids
    for each in period[:3]:
        new = {"person": person, "event_period": each}
        Change(operation="create", entity="check-ins.CheckIn", relationships=new).apply(one.world)
    assert visits(one) == recorded(one)
    assert sorted(count for (who, _), count in recorded(one).items() if who == person) == [1, 1, 3]
    for each in list(check_ins.children_of("person", person)):
        Change(operation="delete", entity="check-ins.CheckIn", id=each).apply(one.world)
    assert visits(one) == recorded(one)
    assert person not in {who for who, _ in recorded(one)}


def visits(one: Simulator) -> dict[tuple[int, int], int]:
    """How often every person was checked in to every event, by the lists of check-ins."""
    events = {
        each["id"]: int(each["relationships"]["event"]["data"]["id"]) for each in one.state("check-ins.EventPeriod")
    }
    found: dict[tuple[int, int], int] = {}
    for each in one.state("check-ins.CheckIn"):
        related = each["relationships"]
        key = (int(related["person"]["data"]["id"]), events[related["event_period"]["data"]["id"]])
        found[key] = found.get(key, 0) + 1
    return found


def recorded(one: Simulator) -> dict[tuple[int, int], int]:
    """The same as the lists of person events below people and below events say it."""
    people, events = "/check-ins/v2/people/{}/person_events", "/check-ins/v2/events/{}/person_events"
    counts = {each["id"]: each["attributes"]["check_in_count"] for each in one.state("check-ins.PersonEvent")}
    by_event = {
        record: event
        for event in one.world.collection("check-ins.Event").ids
        for record in ids(page(one, events.format(event), "per_page=100"))
    }
    return {
        (person, by_event[record]): counts[record]
        for person in one.world.collection("check-ins.Person").ids
        for record in ids(page(one, people.format(person)))
    }
