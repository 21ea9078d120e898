"""Who is checked in at the simulated church: three events a week for half a year until now, all people twice in one."""

from collections.abc import Callable
from typing import Final

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

EVENTS: Final = (
    ("Sunday Morning", seconds_of("2024-07-07T15:00:00")),
    ("Midweek", seconds_of("2024-07-10T23:30:00")),
    ("Kids Club", seconds_of("2024-07-12T22:00:00")),
)
"""Name, and when it first begins."""
WEEKS: Final = 26
PERIODS: Final = WEEKS * len(EVENTS)

_LENGTH_SECONDS: Final = 5400
_DOORS_SECONDS: Final = 1800
"""People are checked in from the beginning on, for so long."""


def counts(people: int) -> dict[str, int]:
    """How many records there are for so many people."""
    return {
        "check-ins.Person": people,
        "check-ins.Event": len(EVENTS),
        "check-ins.EventPeriod": PERIODS,
        "check-ins.EventTime": PERIODS,
        "check-ins.CheckIn": people * 2,
        "check-ins.CheckInTime": people * 2,
        "check-ins.PersonEvent": people,
    }


def _starts(counts: Counts) -> Callable[[int], int]:
    """When a period begins; the last one ends before now."""
    last = EVENTS[-1][1] + (WEEKS - 1) * WEEK_SECONDS
    later = whole_weeks(counts, last + _LENGTH_SECONDS)

    def make(period: int) -> int:
        week, event = divmod(period, len(EVENTS))
        return EVENTS[event][1] + week * WEEK_SECONDS + later

    return make


def _starts_at(_: Others, counts: Counts) -> Maker:
    starts = _starts(counts)
    return lambda number: seconds_text(starts(number))


def _ends_at(_: Others, counts: Counts) -> Maker:
    starts = _starts(counts)
    return lambda number: seconds_text(starts(number) + _LENGTH_SECONDS)


def _checked_in_at(_: Others, counts: Counts) -> Maker:
    """Grows with the id, as every `created_at` does."""
    count, starts = max(counts["check-ins.CheckIn"], 1), _starts(counts)

    def make(number: int) -> str:
        period, place = divmod(number * PERIODS, count)
        return seconds_text(starts(period) + place * _DOORS_SECONDS // count)

    return make


def _period(counts: Counts) -> Callable[[int], int]:
    count = max(counts["check-ins.CheckIn"], 1)
    return lambda number: number * PERIODS // count


def _of_person(name: str, others: Others, counts: Counts) -> Maker:
    named, people = others("check-ins.Person", name), max(counts["check-ins.Person"], 1)
    return lambda number: named(number % people)


MAKERS: Final[Stories] = {
    ("check-ins.Event", "name"): lambda *_: lambda number: EVENTS[number % len(EVENTS)][0],
    ("check-ins.Event", "frequency"): lambda *_: lambda number: "Weekly",
    ("check-ins.EventPeriod", "starts_at"): _starts_at,
    ("check-ins.EventPeriod", "ends_at"): _ends_at,
    ("check-ins.EventTime", "starts_at"): _starts_at,
    ("check-ins.CheckIn", "created_at"): _checked_in_at,
    ("check-ins.CheckIn", "updated_at"): _checked_in_at,
    ("check-ins.PersonEvent", "check_in_count"): lambda *_: lambda number: 2,
    ("check-ins.CheckIn", "kind"): lambda *_: lambda number: {6: "Guest", 7: "Volunteer"}.get(number % 8, "Regular"),
    ("check-ins.CheckIn", "one_time_guest"): lambda *_: lambda number: False,
    ("check-ins.CheckIn", "first_name"): lambda others, counts: _of_person("first_name", others, counts),
    ("check-ins.CheckIn", "last_name"): lambda others, counts: _of_person("last_name", others, counts),
}
TARGETS: Final[Targets] = {
    ("check-ins.EventPeriod", "event"): lambda _: lambda number: number % len(EVENTS),
    ("check-ins.EventTime", "event"): lambda _: lambda number: number % len(EVENTS),
    ("check-ins.EventTime", "event_period"): lambda _: lambda number: number,
    ("check-ins.CheckIn", "event_period"): _period,
    ("check-ins.PersonEvent", "person"): lambda _: lambda number: number,
    ("check-ins.PersonEvent", "event"): lambda counts: lambda number: _period(counts)(number) % len(EVENTS),
    ("check-ins.CheckInTime", "check_in"): lambda _: lambda number: number,
    ("check-ins.CheckInTime", "event_time"): _period,
    ("check-ins.CheckIn", "person"): lambda counts: lambda number: number % max(counts["check-ins.Person"], 1),
}
