"""Values that have to agree with other values: a person's name with its parts, a household with its people."""

from collections.abc import Callable
from typing import Final

from pco_simulator.identifiers import record_id
from pco_simulator.invention import Maker

PEOPLE_IN_A_HOUSEHOLD: Final = 3
MEMBERS_OF_A_GROUP: Final = 10

Others = Callable[[str, str], Maker]
"""`others(entity, attribute)`: what makes the values of another attribute, of this entity or of another one."""


def agreeing_maker(entity: str, name: str, others: Others) -> Maker | None:
    """What makes the values of an attribute that depends on others, or None if it depends on none."""
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
    if entity == "groups.Group" and name == "memberships_count":
        return lambda number: MEMBERS_OF_A_GROUP
    if entity == "groups.Event" and name == "ends_at":
        starts = others(entity, "starts_at")
        return lambda number: f"{starts(number)[:10]}T23:59:59Z"
    return None


def agreeing_target(entity: str, relationship: str, groups: int) -> Callable[[int], int] | None:
    """To the record of which number a relationship leads, where that is no matter of chance; None where it is."""
    match entity, relationship:
        case (("people.Email" | "people.PhoneNumber"), "person"):
            return lambda number: number
        case "people.Household", "primary_contact":
            return lambda number: number * PEOPLE_IN_A_HOUSEHOLD
        case "groups.Membership", "group":
            return lambda number: number // MEMBERS_OF_A_GROUP
        case "groups.Event", "group":
            return lambda number: number % max(groups, 1)
    return None


def agreeing_targets(entity: str, relationship: str) -> Callable[[int], range] | None:
    """The same for a relationship to many records, as a range of their numbers."""
    if (entity, relationship) == ("people.Household", "people"):
        return lambda number: range(number * PEOPLE_IN_A_HOUSEHOLD, (number + 1) * PEOPLE_IN_A_HOUSEHOLD)
    return None
