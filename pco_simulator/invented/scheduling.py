"""Who serves when at the simulated church: volunteers in teams, weekly plans with what happens in them."""

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

SERVICE_TYPES: Final = 4
"""Each has a plan for every week."""
WEEKS_AHEAD: Final = 4
TEAMS: Final = 8
POSITIONS_OF_A_TEAM: Final = 4
SONGS: Final = 50

_OF_A_PLAN: Final = {
    "services.PlanTime": 2,
    "services.Item": 8,
    "services.ItemNote": 8,
    "services.ItemTime": 8,
    "services.PlanPerson": 10,
    "services.PlanNote": 2,
    "services.NeededPosition": 1,
    "services.Contributor": 1,
}
"""How many records a plan has of each kind; of the notes and times of items each item has one."""
_OF_A_VOLUNTEER: Final = {
    "services.Email": 1,
    "services.Schedule": 1,
    "services.PersonTeamPositionAssignment": 2,
}
_LAST_PLAN: Final = seconds_of("2024-12-29T09:00:00")


def counts(volunteers: int, plans: int) -> dict[str, int]:
    """How many records there are for so many volunteers and plans."""
    return {
        "services.Person": volunteers,
        "services.Blockout": volunteers // 4,
        **{name: volunteers * each for name, each in _OF_A_VOLUNTEER.items()},
        "services.ServiceType": SERVICE_TYPES,
        "services.Plan": plans,
        **{name: plans * each for name, each in _OF_A_PLAN.items()},
        "services.Team": TEAMS,
        "services.TeamLeader": TEAMS,
        "services.TeamPosition": TEAMS * POSITIONS_OF_A_TEAM,
        "services.Song": SONGS,
        "services.Arrangement": SONGS,
        "services.Key": SONGS,
    }


def _spread(child: str, owner: str) -> Callable[[Counts], Callable[[int], int]]:
    """Neighbours have the same owner, and every owner has as many."""

    def target(counts: Counts) -> Callable[[int], int]:
        owners, children = max(counts[owner], 1), max(counts[child], 1)
        return lambda number: number * owners // children % owners

    return target


def _service_type_of(child: str) -> Callable[[Counts], Callable[[int], int]]:
    def target(counts: Counts) -> Callable[[int], int]:
        plan, types = _spread(child, "services.Plan")(counts), max(counts["services.ServiceType"], 1)
        return lambda number: plan(number) % types

    return target


def _team_of_an_assignment(counts: Counts) -> Callable[[int], int]:
    """That of its position."""
    positions, teams = max(counts["services.TeamPosition"], 1), max(counts["services.Team"], 1)
    return lambda number: number % positions % teams


def _starts(counts: Counts) -> Callable[[int], int]:
    """When a plan takes place; the last ones in the last one of the weeks ahead."""
    types = max(counts["services.ServiceType"], 1)
    last_week = max(counts["services.Plan"] - 1, 0) // types
    last = _LAST_PLAN + whole_weeks(counts, _LAST_PLAN, ahead=WEEKS_AHEAD * WEEK_SECONDS)
    return lambda plan: last - (last_week - plan // types) * WEEK_SECONDS


def _sort_date(_: Others, counts: Counts) -> Maker:
    starts = _starts(counts)
    return lambda number: seconds_text(starts(number))


def _starts_at(_: Others, counts: Counts) -> Maker:
    """The times of a plan follow each other by an hour and a half."""
    starts, plan = _starts(counts), _spread("services.PlanTime", "services.Plan")(counts)
    return lambda number: seconds_text(starts(plan(number)) + number % 2 * 5400)


MAKERS: Final[Stories] = {
    ("services.Plan", "sort_date"): _sort_date,
    ("services.PlanTime", "starts_at"): _starts_at,
    ("services.PlanTime", "time_type"): lambda *_: lambda number: "service",
}
TARGETS: Final[Targets] = {
    **{(child, "plan"): _spread(child, "services.Plan") for child in _OF_A_PLAN},
    **{(child, "service_type"): _service_type_of(child) for child in _OF_A_PLAN},
    ("services.ItemNote", "item"): _spread("services.ItemNote", "services.Item"),
    ("services.ItemTime", "item"): _spread("services.ItemTime", "services.Item"),
    ("services.PersonTeamPositionAssignment", "person"): _spread(
        "services.PersonTeamPositionAssignment", "services.Person"
    ),
    ("services.PersonTeamPositionAssignment", "team_position"): lambda counts: (
        lambda number: number % max(counts["services.TeamPosition"], 1)
    ),
    ("services.PersonTeamPositionAssignment", "team"): _team_of_an_assignment,
    ("services.PlanPerson", "person"): lambda counts: lambda number: number * 7 % max(counts["services.Person"], 1),
}
