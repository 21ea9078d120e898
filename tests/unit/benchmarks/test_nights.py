"""What happens in a church over some nights can happen, is the same for the same night, and leaves nothing unlisted."""

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.nights import changes_of
from pco_simulator.contents.churn import Change
from pco_simulator.contents.world import World

NOW = datetime(2031, 5, 14, 9, 30, tzinfo=UTC)
SIZE: dict[str, Any] = {"people": 300, "groups": 30, "plans": 12}


def test_every_change_of_some_nights_can_be_made() -> None:
    world = World(seed=1, now=NOW, volunteers=20, **SIZE)
    before = world.sizes()
    for night in range(1, 4):
        for change in changes_of(night, now=NOW + timedelta(days=night), **SIZE):
            Change(**change).apply(world)
    grown = {name for name, size in world.sizes().items() if size > before[name]}
    assert grown >= {"people.Person", "groups.Event", "giving.Donation", "giving.Refund", "check-ins.CheckIn"}
    assert {name for name, size in world.sizes().items() if size < before[name]} == set()


def test_a_night_is_the_same_every_time_and_another_one_is_another() -> None:
    first, again, second = (changes_of(night, now=NOW, **SIZE) for night in (1, 1, 2))
    assert first == again != second


def test_every_group_has_its_next_meeting_once_a_week() -> None:
    nights = [changes_of(night, now=NOW, **SIZE) for night in range(1, 8)]
    planned = [one["relationships"]["group"] for night in nights for one in night if one["entity"] == "groups.Event"]
    assert len(planned) == len(set(planned)) == SIZE["groups"]
