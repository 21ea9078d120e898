"""When each church starts: always at its own time of an interval, and all of them evenly over it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tasks.churches.starting import share_of, start_of

DUE = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHURCHES = [f"church-{number}" for number in range(1000)]


def test_a_church_starts_at_the_same_time_of_every_interval() -> None:
    for org_id in CHURCHES[:50]:
        first, second = (
            start_of(org_id, due=DUE + number * HOUR, spread=HOUR, now=DUE + number * HOUR) for number in (0, 1)
        )
        assert second - first == HOUR
        assert DUE <= first < DUE + HOUR


def test_a_thousand_churches_are_spread_evenly() -> None:
    """Chi-square over the minutes of an hour: above 98 once in a thousand names that are as good as drawn."""
    minutes = Counter(int(share_of(org_id) * 60) for org_id in CHURCHES)
    mean = len(CHURCHES) / 60
    assert sum((minutes[minute] - mean) ** 2 / mean for minute in range(60)) < 98
    assert max(minutes.values()) < 2.2 * mean


def test_similar_names_start_apart() -> None:
    shares = sorted(share_of(f"st-mary-{number}") for number in range(1, 9))
    assert max(later - earlier for earlier, later in pairwise(shares)) < 0.5


def test_a_schedule_that_comes_late_starts_those_whose_time_has_passed_and_no_church_a_second_time() -> None:
    late = DUE + 5 * HOUR + HOUR / 2
    for org_id in CHURCHES[:50]:
        start = start_of(org_id, due=DUE, spread=HOUR, now=late)
        assert start == max(late, DUE + 5 * HOUR + share_of(org_id) * HOUR)


def test_without_a_spread_all_start_now() -> None:
    assert start_of("grace", due=DUE, spread=timedelta(), now=DUE + HOUR) == DUE + HOUR
    assert start_of("grace", due=DUE, spread=timedelta(), now=DUE) == DUE
