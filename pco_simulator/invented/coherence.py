"""Values that have to agree with other values: a person's name with its parts, a household with its people."""

from collections.abc import Callable, Iterable
from typing import Final

from pco_simulator.invented import check_ins, custom_fields, donations, gatherings, scheduling, workflows
from pco_simulator.invented.identifiers import record_id
from pco_simulator.invented.invention import Counts, Maker, Others

PEOPLE_IN_A_HOUSEHOLD: Final = 3
PEOPLE_FOR_AN_APP: Final = 5
"""One of so many people uses an app."""
PEOPLE_FOR_A_NOTIFICATION: Final = 50
"""One of so many people has an unread notification."""

_HOUSEHOLD_ROLES: Final = ("parent_guardian", "other_adult", "child_or_dependent")
_MAKERS: Final = (
    custom_fields.MAKERS
    | donations.MAKERS
    | check_ins.MAKERS
    | gatherings.MAKERS
    | scheduling.MAKERS
    | workflows.MAKERS
)
_TARGETS: Final = (
    custom_fields.TARGETS
    | donations.TARGETS
    | check_ins.TARGETS
    | gatherings.TARGETS
    | scheduling.TARGETS
    | workflows.TARGETS
)
_MEANT: Final = {"Parent": "Location", "Assignee": "Person", "Labels": "Label", "PrimaryCampus": "Campus"}
"""What relationships call a kind, where that is not its name."""
_RENDERED_AS: Final = {("people.FieldDatum", "customizable"): "Person"}


def counts_of(people: int, groups: int, *, volunteers: int | None = None, plans: int | None = None) -> dict[str, int]:
    """How many records of an entity there are in a church of so many people and groups, where that is no small matter.

    Its services are no small matter if there are `volunteers` and `plans`. Only ids are kept of all these until they
    are asked for.
    """
    households = people // PEOPLE_IN_A_HOUSEHOLD
    return {
        "people.Person": people,
        "people.Email": people,
        "people.PhoneNumber": people * 3 // 4,
        "people.Household": households,
        "people.HouseholdMembership": households * PEOPLE_IN_A_HOUSEHOLD,
        "people.PersonMerger": 0,
        "people.PersonApp": people // PEOPLE_FOR_AN_APP,
        "people.PlatformNotification": people // PEOPLE_FOR_A_NOTIFICATION,
        "people.Campus": 4,
        **custom_fields.counts(people),
        **gatherings.counts(people, groups),
        **donations.counts(people),
        **check_ins.counts(people),
        **workflows.counts(people),
        **({} if volunteers is None or plans is None else scheduling.counts(volunteers, plans)),
    }


def numbers_of(entity: str, count: int) -> Iterable[int]:
    """The numbers of the records that exist: all of them, but of what some owners have and others have not."""
    exists = donations.SOME.get(entity)
    return range(count) if exists is None else filter(exists, range(count))


def is_rare(entity: str) -> bool:
    """Whether some owners have such a record and others have not."""
    return entity in donations.SOME


def agreeing_maker(entity: str, name: str, others: Others, counts: Counts) -> Maker | None:
    """What makes the values of an attribute that depends on others, or None if it depends on none."""
    if (entity, name) in _MAKERS:
        return _MAKERS[entity, name](others, counts)
    resource = entity.partition(".")[2]
    match resource, name:
        case "Person", "name":
            first, last = others(entity, "first_name"), others(entity, "last_name")
            return lambda number: f"{first(number)} {last(number)}"
        case "Person", "status":
            return lambda number: "inactive" if number % 10 == 7 else "active"
        case "Person", "inactivated_at":
            updated = others(entity, "updated_at")
            return lambda number: updated(number) if number % 10 == 7 else None
        case "Household", "primary_contact_id":
            return lambda number: str(record_id(number * PEOPLE_IN_A_HOUSEHOLD))
        case "Household", "primary_contact_name":
            contact = others("people.Person", "name")
            return lambda number: contact(number * PEOPLE_IN_A_HOUSEHOLD)
        case "Household", "name":
            contact = others("people.Person", "last_name")
            return lambda number: f"{contact(number * PEOPLE_IN_A_HOUSEHOLD)} Household"
        case "Household", "member_count":
            return lambda number: PEOPLE_IN_A_HOUSEHOLD
        case "HouseholdMembership", "person_name":
            return others("people.Person", "name")
        case "HouseholdMembership", "household_role":
            return lambda number: _HOUSEHOLD_ROLES[number % PEOPLE_IN_A_HOUSEHOLD]
        case "HouseholdMembership", "pending":
            return lambda number: False
    return None


def agreeing_target(entity: str, relationship: str, counts: Counts) -> Callable[[int], int] | None:
    """To the record of which number a relationship leads, where that is no matter of chance; None where it is."""
    if (entity, relationship) in _TARGETS:
        return _TARGETS[entity, relationship](counts)
    match entity, relationship:
        case (("people.Email" | "people.PhoneNumber" | "people.HouseholdMembership"), "person"):
            return lambda number: number
        case "people.Household", "primary_contact":
            return lambda number: number * PEOPLE_IN_A_HOUSEHOLD
        case "people.PersonApp", "person":
            return lambda number: number * PEOPLE_FOR_AN_APP
        case "people.HouseholdMembership", "household":
            return lambda number: number // PEOPLE_IN_A_HOUSEHOLD
    return None


def agreeing_targets(entity: str, relationship: str) -> Callable[[int], range] | None:
    """The same for a relationship to many records, as a range of their numbers."""
    if (entity, relationship) == ("people.Household", "people"):
        return lambda number: range(number * PEOPLE_IN_A_HOUSEHOLD, (number + 1) * PEOPLE_IN_A_HOUSEHOLD)
    return None


def meant_by(resource: str) -> str:
    """The kind that a relationship leads to, from what it calls it."""
    return _MEANT.get(resource, resource)


def rendered_type(entity: str, relationship: str, resource: str) -> str:
    """Under which type a relationship names its records: PCO documents `Customizable`, and means a person (#1290)."""
    return _RENDERED_AS.get((entity, relationship), resource)
