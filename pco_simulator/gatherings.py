"""The groups of the simulated church: who is in them, and who came to their twelve weekly events."""

from typing import Final

from pco_simulator.chance import roller
from pco_simulator.invention import Counts, Maker, Others, Stories, Targets, seconds_of, seconds_text

MEMBERS_OF_A_GROUP: Final = 10
EVENTS_OF_A_GROUP: Final = 12

_FIRST_WEEK: Final = seconds_of("2024-09-02T18:00:00")
_DAY_SECONDS: Final = 86_400


def counts(people: int, groups: int) -> dict[str, int]:
    """How many records there are for so many people and groups."""
    return {
        "groups.Person": people,
        "groups.Group": groups,
        "groups.GroupType": 6,
        "groups.Enrollment": groups,
        "groups.Location": groups,
        "groups.Event": groups * EVENTS_OF_A_GROUP,
        "groups.Membership": groups * MEMBERS_OF_A_GROUP,
        "groups.Attendance": groups * EVENTS_OF_A_GROUP * MEMBERS_OF_A_GROUP,
    }


def _membership(attendance: int, counts: Counts) -> int:
    """Which membership an attendance is of: at every event each member is listed, present or not."""
    event, place = divmod(attendance, MEMBERS_OF_A_GROUP)
    return event % max(counts["groups.Group"], 1) * MEMBERS_OF_A_GROUP + place


def _starts_at(_: Others, counts: Counts) -> Maker:
    groups = max(counts["groups.Group"], 1)

    def make(number: int) -> str:
        week, group = divmod(number, groups)
        return seconds_text(_FIRST_WEEK + (7 * week + group % 7) * _DAY_SECONDS + group % 4 * 1800)

    return make


def _ends_at(others: Others, _: Counts) -> Maker:
    starts = others("groups.Event", "starts_at")
    return lambda number: f"{starts(number)[:10]}T23:59:59Z"


def _attended(*_: object) -> Maker:
    roll = roller("attendance")
    return lambda number: roll(number) % 4 != 0


def _role(others: Others, counts: Counts) -> Maker:
    role = others("groups.Membership", "role")
    return lambda number: role(_membership(number, counts))


MAKERS: Final[Stories] = {
    ("groups.Group", "memberships_count"): lambda *_: lambda number: MEMBERS_OF_A_GROUP,
    ("groups.Event", "name"): lambda *_: lambda number: "Weekly meeting",
    ("groups.Event", "starts_at"): _starts_at,
    ("groups.Event", "ends_at"): _ends_at,
    ("groups.Event", "canceled"): lambda *_: lambda number: False,
    ("groups.Event", "visitors_count"): lambda *_: lambda number: number % 3,
    ("groups.Attendance", "attended"): _attended,
    ("groups.Attendance", "role"): _role,
}
TARGETS: Final[Targets] = {
    ("groups.Membership", "group"): lambda _: lambda number: number // MEMBERS_OF_A_GROUP,
    ("groups.Membership", "person"): lambda counts: lambda number: number % max(counts["groups.Person"], 1),
    ("groups.Group", "location"): lambda _: lambda number: number,
    ("groups.Event", "location"): lambda counts: lambda number: number % max(counts["groups.Group"], 1),
    ("groups.Event", "group"): lambda counts: lambda number: number % max(counts["groups.Group"], 1),
    ("groups.Attendance", "event"): lambda _: lambda number: number // MEMBERS_OF_A_GROUP,
    ("groups.Attendance", "person"): lambda counts: (
        lambda number: _membership(number, counts) % max(counts["groups.Person"], 1)
    ),
}
