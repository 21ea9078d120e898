"""The groups of the simulated church: their members, and who came to the weekly events; four of twelve are to come."""

from collections.abc import Callable
from typing import Final

from pco_simulator.invented.chance import roller
from pco_simulator.invented.invention import (
    WEEK_SECONDS,
    Counts,
    Maker,
    Others,
    Stories,
    Targets,
    seconds_of,
    seconds_text,
    whole_weeks,
)

MEMBERS_OF_A_GROUP: Final = 10
EVENTS_OF_A_GROUP: Final = 12
WEEKS_AHEAD: Final = 4
RSVPS_OF_AN_EVENT: Final = 2

_FIRST_WEEK: Final = seconds_of("2024-09-02T18:00:00")
_DAY_SECONDS: Final = 86_400


def counts(people: int, groups: int) -> dict[str, int]:
    """How many records there are for so many people and groups; only to events to come people say if they will."""
    return {
        "groups.RSVP": groups * WEEKS_AHEAD * RSVPS_OF_AN_EVENT,
        "groups.Person": people,
        "groups.Group": groups,
        "groups.GroupType": 6,
        "groups.Enrollment": groups,
        "groups.Location": groups,
        "groups.Event": groups * EVENTS_OF_A_GROUP,
        "groups.Membership": groups * MEMBERS_OF_A_GROUP,
        "groups.Attendance": groups * EVENTS_OF_A_GROUP * MEMBERS_OF_A_GROUP,
    }


def _groups(counts: Counts) -> int:
    return max(counts["groups.Group"], 1)


def _members(counts: Counts) -> int:
    return max(counts["groups.Membership"] // _groups(counts), 1)


def _weeks(counts: Counts) -> int:
    return max(counts["groups.Event"] // _groups(counts), 1)


def _membership(attendance: int, counts: Counts) -> int:
    """Which membership an attendance is of: at every event each member is listed, present or not."""
    event, place = divmod(attendance, _members(counts))
    return event % _groups(counts) * _members(counts) + place


def _starts_at(_: Others, counts: Counts) -> Maker:
    starts = _starts(counts)
    return lambda number: seconds_text(starts(number))


def _starts(counts: Counts) -> Callable[[int], int]:
    """When an event begins; the last one of each group in the last one of the weeks ahead."""
    groups, last_week = _groups(counts), (_weeks(counts) - 1) * WEEK_SECONDS
    firsts = [_FIRST_WEEK + group % 7 * _DAY_SECONDS + group % 4 * 1800 for group in range(28)]
    ahead = WEEKS_AHEAD * WEEK_SECONDS
    firsts = [one + whole_weeks(counts, one + last_week, ahead=ahead) for one in firsts]

    def make(number: int) -> int:
        week, group = divmod(number, groups)
        return firsts[group % 28] + week * WEEK_SECONDS

    return make


def _ends_at(others: Others, _: Counts) -> Maker:
    starts = others("groups.Event", "starts_at")
    return lambda number: f"{starts(number)[:10]}T23:59:59Z"


def _attended(_: Others, counts: Counts) -> Maker:
    """Nobody attended yet what is to come."""
    roll, starts, now = roller("attendance"), _starts(counts), counts.now
    return lambda number: roll(number) % 4 != 0 and (now is None or starts(number // _members(counts)) < now)


def _invited(rsvp: int, counts: Counts) -> int:
    """Which membership answers: the first ones of each group do, to each event to come."""
    event, place = divmod(rsvp, RSVPS_OF_AN_EVENT)
    return event % _groups(counts) * _members(counts) + place


def _event_to_come(counts: Counts) -> Callable[[int], int]:
    past = max(_weeks(counts) - WEEKS_AHEAD, 0) * counts["groups.Group"]
    return lambda rsvp: past + rsvp // RSVPS_OF_AN_EVENT


def _role(others: Others, counts: Counts) -> Maker:
    role = others("groups.Membership", "role")
    return lambda number: role(_membership(number, counts))


MAKERS: Final[Stories] = {
    ("groups.Group", "memberships_count"): lambda _, counts: lambda number: _members(counts),
    ("groups.Event", "name"): lambda *_: lambda number: "Weekly meeting",
    ("groups.Event", "starts_at"): _starts_at,
    ("groups.Event", "ends_at"): _ends_at,
    ("groups.Event", "canceled"): lambda *_: lambda number: False,
    ("groups.Event", "visitors_count"): lambda *_: lambda number: number % 3,
    ("groups.Attendance", "attended"): _attended,
    ("groups.Attendance", "role"): _role,
}
TARGETS: Final[Targets] = {
    ("groups.Membership", "group"): lambda counts: lambda number: number // _members(counts),
    ("groups.Membership", "person"): lambda counts: lambda number: number % max(counts["groups.Person"], 1),
    ("groups.Group", "location"): lambda _: lambda number: number,
    ("groups.Event", "location"): lambda counts: lambda number: number % _groups(counts),
    ("groups.Event", "group"): lambda counts: lambda number: number % _groups(counts),
    ("groups.RSVP", "event"): _event_to_come,
    ("groups.RSVP", "group"): lambda counts: lambda number: _invited(number, counts) // _members(counts),
    ("groups.RSVP", "person"): lambda counts: lambda number: _invited(number, counts) % max(counts["groups.Person"], 1),
    ("groups.Attendance", "event"): lambda counts: lambda number: number // _members(counts),
    ("groups.Attendance", "person"): lambda counts: (
        lambda number: _membership(number, counts) % max(counts["groups.Person"], 1)
    ),
}
