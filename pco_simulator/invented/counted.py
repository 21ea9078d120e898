"""Which attributes of owners are the numbers of their children."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """`attribute` is the number of the children whose `relationship` names the owner.

    `stamp` becomes now whenever it moves; `members` is the owner's relationship to the people whom the children name.
    """

    child: str
    relationship: str
    owner: str
    attribute: str
    stamp: str = ""
    members: str = ""


COUNTED: Final = (
    Counted(child="groups.Membership", relationship="group", owner="groups.Group", attribute="memberships_count"),
    Counted(
        child="people.HouseholdMembership",
        relationship="household",
        owner="people.Household",
        attribute="member_count",
        members="people",
    ),
    Counted(
        child="people.ListResult",
        relationship="list",
        owner="people.List",
        attribute="total_people",
        stamp="refreshed_at",
    ),
    Counted(
        child="people.WorkflowCard", relationship="workflow", owner="people.Workflow", attribute="total_cards_count"
    ),
    Counted(child="services.Item", relationship="plan", owner="services.Plan", attribute="items_count"),
    Counted(child="services.PlanNote", relationship="plan", owner="services.Plan", attribute="plan_notes_count"),
    Counted(child="services.PlanPerson", relationship="plan", owner="services.Plan", attribute="plan_people_count"),
)


def counted_by(owner: str, attribute: str) -> Counted | None:
    """What an attribute counts, if it counts anything."""
    return next((one for one in COUNTED if (one.owner, one.attribute) == (owner, attribute)), None)
