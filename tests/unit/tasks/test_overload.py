"""More churches than the workers can serve: all are late alike, and nothing piles up. Prefect and the work are
simulated.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tasks.churches.starting import start_of, to_start

INTERVAL: Final = timedelta(minutes=15)
BEGIN: Final = datetime(2026, 11, 29, tzinfo=UTC)
CHURCHES: Final = [f"church-{number}" for number in range(300)]
PLACES: Final = 4
STUCK: Final = ("stuck", "stuck, too")


class Served:
    """What became of the churches, interval by interval."""

    def __init__(self) -> None:
        self.begun: dict[str, list[datetime]] = defaultdict(list)
        self.most_waiting = 0

    def counts(self, *, since: datetime) -> list[int]:
        """How often each church was served."""
        return [sum(at >= since for at in self.begun[one]) for one in CHURCHES]


def served(intervals: int, *, capacity: float, stuck: tuple[str, ...] = (), away: int = 0) -> Served:
    """`capacity`: how many of the churches can be served in an interval. No worker is there in the first `away` ones.

    What waits is served in the order of its times, as Prefect does; a stuck church never is.
    """
    seconds = PLACES * INTERVAL / (len(CHURCHES) * capacity)
    free = [BEGIN + away * INTERVAL] * PLACES
    queue: list[tuple[datetime, str]] = []
    waiting: dict[str, list[datetime]] = defaultdict(list)
    found = Served()

    def serve(until: datetime) -> Iterator[tuple[str, datetime]]:
        while queue and max(free[0], queue[0][0]) < until:
            due, church = heapq.heappop(queue)
            begun = max(free[0], due)
            heapq.heapreplace(free, begun + seconds)
            waiting[church].remove(due)
            yield church, begun

    for number in range(intervals):
        now = BEGIN + number * INTERVAL
        for church, begun in serve(now):
            found.begun[church].append(begun)
        for church in to_start([*CHURCHES, *stuck], waiting, now=now):
            due = start_of(church, due=now, spread=INTERVAL, now=now)
            waiting[church].append(due)
            if church not in stuck:
                heapq.heappush(queue, (due, church))
        found.most_waiting = max(found.most_waiting, *map(len, waiting.values()))
    return found


@pytest.mark.parametrize("capacity", [0.3, 0.45, 0.55, 0.66, 0.75, 0.85, 0.92, 0.97])
def test_with_too_few_places_every_church_is_served_about_as_often_as_any_other(capacity: float) -> None:
    found = served(60, capacity=capacity)
    counts = found.counts(since=BEGIN + 20 * INTERVAL)
    assert min(counts) >= 0.7 * max(counts), "by who waits and who does not, it was half"
    assert sum(counts) >= 0.99 * capacity * 39 * len(CHURCHES), "no place stands empty for it"
    assert found.most_waiting <= 2


@pytest.mark.parametrize("stuck", [(), STUCK])
def test_with_enough_places_every_church_is_served_in_each_interval(stuck: tuple[str, ...]) -> None:
    """Two that never begin, whyever, stop no other."""
    found = served(20, capacity=1.1, stuck=stuck)
    assert found.counts(since=BEGIN) == [19] * len(CHURCHES)
    assert found.most_waiting <= 2


def test_after_hours_without_a_worker_each_church_is_served_in_each_interval_at_once() -> None:
    found = served(20, capacity=1.1, away=9)
    for number in range(9, 19):
        begin = BEGIN + number * INTERVAL
        assert all(any(begin <= at < begin + INTERVAL for at in found.begun[one]) for one in CHURCHES), number


def test_a_start_that_is_still_to_come_is_not_made_twice() -> None:
    later = {"early": [BEGIN + timedelta(seconds=1)], "late": [BEGIN - timedelta(seconds=1)]}
    assert to_start(["early", "late", "none"], later, now=BEGIN) == ["late", "none"]
    later["late"].append(BEGIN + timedelta(minutes=9))
    assert to_start(["early", "late", "none"], later, now=BEGIN) == ["none"], "a few churches stop nobody"
