"""What owners have of others, counts and ids, moves when the others come, go and change owners.

PCO does not call that a change of the owner (#251): its `updated_at` stays.
"""

from collections.abc import Iterable

from pco_simulator.contents.collection import Collection
from pco_simulator.contents.world import World
from pco_simulator.invented.counted import COUNTED, Counted
from pco_simulator.invented.invention import time_text

Owner = tuple[Counted, int]
"""A count, and the id of the owner that has it."""
Visitor = tuple[int, int]
"""A person and an event of check-ins."""


def owners_of(children: Collection, ids: Iterable[int]) -> set[Owner]:
    """Whose counts these records are part of."""
    return {
        (counted, owner)
        for counted in COUNTED
        if counted.child == children.name
        for one in ids
        for owner in children.owners_of(one, counted.relationship)
    }


def recount(world: World, owners: Iterable[Owner]) -> None:
    """Bring the counts up to date."""
    for counted, owner in owners:
        holders, children = world.collection(counted.owner), world.collection(counted.child)
        if not holders.holds(owner):
            continue
        found = children.children_of(counted.relationship, owner)
        stamp = {counted.stamp: time_text(world.now())} if counted.stamp else {}
        members = [one for each in found for one in children.owners_of(each, "person")]
        named = {counted.members: {"data": [{"type": "Person", "id": str(one)} for one in members]}}
        holders.edit(owner, {counted.attribute: len(found), **stamp}, named if counted.members else {}, quiet=True)


def visitors_of(world: World, changed: Collection, ids: Iterable[int]) -> set[Visitor]:
    """Who was checked in to which event, by these records if they are check-ins."""
    if changed.name != "check-ins.CheckIn":
        return set()
    return {
        (person, event)
        for one in ids
        for person in changed.owners_of(one, "person")
        for event in _events(world, changed, one)
    }


def recount_visits(world: World, visitors: Iterable[Visitor]) -> None:
    """Let every visitor of an event have a record that says how often; whoever never came has none."""
    check_ins, records = world.collection("check-ins.CheckIn"), world.collection("check-ins.PersonEvent")
    for person, event in visitors:
        visits = [one for one in check_ins.children_of("person", person) if event in _events(world, check_ins, one)]
        known = [one for one in records.children_of("person", person) if event in records.owners_of(one, "event")]
        if visits and known:
            records.edit(known[0], {"check_in_count": len(visits)})
        elif visits:
            records.create(
                {"check_in_count": len(visits)}, None, records.references({"person": person, "event": event})
            )
        elif known:
            records.delete(known[0])


def _events(world: World, check_ins: Collection, check_in: int) -> list[int]:
    periods = world.collection("check-ins.EventPeriod")
    found = check_ins.owners_of(check_in, "event_period")
    return [event for period in found for event in periods.owners_of(period, "event")]
