"""What happens in a church of the simulator from one night to the next; the same for the same night."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from pco_simulator.invented.gatherings import MEMBERS_OF_A_GROUP, WEEKS_AHEAD
from pco_simulator.invented.identifiers import record_id

Change = dict[str, Any]
"""As `pco_simulator/contents/churn.py` reads it."""

PEOPLE_EDITED = 40
PEOPLE_CREATED = 5
GIFTS = 60
CHECK_INS = 300
MOVES_IN_GROUPS = 15
WORKFLOW_CARDS = 5
LIST_RESULTS = 10
SERVICE_CHANGES = 20


def changes_of(night: int, *, people: int, groups: int, plans: int, now: datetime) -> list[Change]:
    """The changes of the day that ends at `now`, counted from 1.

    Nothing that has children is deleted, so that what the church has is what can be listed.
    """
    chance = random.Random(night)  # noqa: S311 - a day like any other, no secret
    return [
        *_people(chance, people),
        *_groups(chance, night, people, groups, now),
        *_giving(chance, people),
        *_check_ins(chance, people),
        *_services(chance, plans),
    ]


def _people(chance: random.Random, people: int) -> Iterator[Change]:
    for _ in range(PEOPLE_EDITED):
        yield _edit("people.Person", chance.randrange(people), {"nickname": f"Nick {chance.randrange(100)}"})
    yield {"operation": "create", "entity": "people.Person", "count": PEOPLE_CREATED}
    household = record_id(chance.randrange(people // 3))
    new = {"household": household, "person": record_id(chance.randrange(people))}
    yield {"operation": "create", "entity": "people.HouseholdMembership", "relationships": new}
    for _ in range(WORKFLOW_CARDS):
        person = record_id(chance.randrange(people))
        new = {
            "workflow": record_id(chance.randrange(5)),
            "person": person,
            "assignee": record_id(chance.randrange(10)),
        }
        yield {"operation": "create", "entity": "people.WorkflowCard", "relationships": new}
    for _ in range(LIST_RESULTS):
        new = {"list": record_id(chance.randrange(3)), "person": record_id(chance.randrange(people))}
        yield {"operation": "create", "entity": "people.ListResult", "relationships": new}


def _groups(chance: random.Random, night: int, people: int, groups: int, now: datetime) -> Iterator[Change]:
    """Some join, leave and change roles; every seventh group plans its next meeting; someone had attended."""
    for _ in range(MOVES_IN_GROUPS):
        new = {"group": record_id(chance.randrange(groups)), "person": record_id(chance.randrange(people))}
        yield {"operation": "create", "entity": "groups.Membership", "relationships": new}
        yield {"operation": "delete", "entity": "groups.Membership", "place": chance.randrange(groups)}
        yield _edit("groups.Membership", chance.randrange(groups), {"role": "leader"})
    starts_at = (now + timedelta(weeks=WEEKS_AHEAD)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for group in range(night % 7, groups, 7):
        attributes = {"starts_at": starts_at, "ends_at": starts_at}
        yield {
            "operation": "create",
            "entity": "groups.Event",
            "attributes": attributes,
            "relationships": {"group": record_id(group)},
        }
        attended = {"attended": True}
        yield _edit("groups.Attendance", chance.randrange(groups * MEMBERS_OF_A_GROUP), attended)


def _giving(chance: random.Random, people: int) -> Iterator[Change]:
    for _ in range(GIFTS):
        donor = {"person": record_id(chance.randrange(people))}
        yield {"operation": "give", "entity": "giving.Donation", "relationships": donor}
    yield {"operation": "refund", "entity": "giving.Donation", "place": -1}


def _check_ins(chance: random.Random, people: int) -> Iterator[Change]:
    for _ in range(CHECK_INS):
        new = {"person": record_id(chance.randrange(people)), "event_period": record_id(77)}
        yield {"operation": "create", "entity": "check-ins.CheckIn", "relationships": new}


def _services(chance: random.Random, plans: int) -> Iterator[Change]:
    for _ in range(SERVICE_CHANGES):
        plan = record_id(chance.randrange(plans))
        yield _edit("services.Item", chance.randrange(plans), {"title": f"Song {chance.randrange(100)}"})
        yield {"operation": "create", "entity": "services.PlanPerson", "relationships": {"plan": plan}}
        yield {"operation": "edit", "entity": "services.Plan", "id": plan, "attributes": {}}


def _edit(entity: str, place: int, attributes: dict[str, Any]) -> Change:
    return {"operation": "edit", "entity": entity, "place": place, "attributes": attributes}
