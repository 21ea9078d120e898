"""What a filter hides is found by counts, whatever is created and deleted between them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client.sansio import Where
from pco_walks.hidden import TRIES, count_hidden, looks_capped
from pco_walks.window import Window
from tests.histories import histories

WINDOW = Window(attribute="created_at", since=None, until=datetime(2026, 11, 24, tzinfo=UTC))


@dataclass
class Source:
    """A list of which so many are in the window, newer than it, and without a time.

    Something may happen before a count. What is in the window can only be deleted, nobody enters it.
    """

    inside: int
    newer: int
    timeless: int
    uncounted: str | None = None
    changes: list[tuple[str, int]] = field(default_factory=list)
    asked: int = 0

    def count(self, where: tuple[Where, ...]) -> int | None:
        self.asked += 1
        if self.changes:
            kind, number = self.changes.pop(0)
            if kind == "create":
                self.newer += number
            elif kind == "delete":
                self.inside = max(self.inside - number, 0)
        kind = where[0].operator or "" if where else "all"
        if kind == self.uncounted:
            return None
        return {"lte": self.inside, "gt": self.newer, "all": self.inside + self.newer + self.timeless}[kind]


def hidden(source: Source) -> int | None:
    counting = count_hidden(WINDOW)
    try:
        asked = next(counting)
        while True:
            asked = counting.send(source.count(asked))
    except StopIteration as done:
        found: int | None = done.value
        return found


@pytest.mark.parametrize(("newer", "timeless", "requests"), [(0, 0, 3), (7, 0, 3), (0, 1, 6), (7, 5, 6)])
def test_in_a_list_at_rest_exactly_those_without_a_time_are_hidden(newer: int, timeless: int, requests: int) -> None:
    source = Source(inside=100, newer=newer, timeless=timeless)
    assert hidden(source) == timeless
    assert source.asked == requests


CHANGES = st.lists(st.tuples(st.sampled_from(["create", "delete", "nothing"]), st.integers(0, 4)), max_size=40)


@histories(300)
@given(timeless=st.integers(1, 5), newer=st.integers(0, 5), changes=CHANGES)
def test_who_is_hidden_is_found_whatever_is_created_and_deleted_meanwhile(
    timeless: int, newer: int, changes: list[tuple[str, int]]
) -> None:
    found = hidden(Source(inside=100, newer=newer, timeless=timeless, changes=changes))
    assert found is not None
    assert found >= timeless


@histories(300)
@given(newer=st.integers(0, 5), deleted=st.lists(st.integers(0, 4), max_size=3 * TRIES - 3))
def test_who_is_deleted_meanwhile_is_not_taken_for_hidden_once_the_list_is_at_rest(
    newer: int, deleted: list[int]
) -> None:
    changes = [("delete", number) for number in deleted]
    assert hidden(Source(inside=500, newer=newer, timeless=0, changes=changes)) == 0


@pytest.mark.parametrize("uncounted", ["lte", "gt", "all"])
def test_without_one_of_the_counts_nothing_is_known(uncounted: str) -> None:
    assert hidden(Source(inside=100, newer=0, timeless=5, uncounted=uncounted)) is None


ONE_LEAVES = [("nothing", 0), ("nothing", 0), ("delete", 1)]
"""A record is counted in the whole list, and is gone when the window is counted."""


def test_a_list_that_comes_to_rest_is_counted_once_more_and_the_least_that_was_seen_is_hidden() -> None:
    source = Source(inside=100, newer=0, timeless=1, changes=list(ONE_LEAVES))
    assert hidden(source) == 1
    assert source.asked == 3 * 3


def test_a_list_that_never_rests_is_counted_so_many_times_and_no_more() -> None:
    source = Source(inside=100, newer=0, timeless=0, changes=ONE_LEAVES * 100)
    assert hidden(source) == 1
    assert source.asked == 3 * TRIES


@pytest.mark.parametrize(
    ("count", "looks_so"),
    [(10_000, True), (1_000, True), (5_000, True), (100_000, True), (999, False), (100, False), (20_000, True),
     (10_001, False), (9_999, False), (0, False), (15_000, True)],
)  # fmt: skip
def test_a_count_that_is_round_in_the_way_of_a_cap_looks_capped(count: int, looks_so: bool) -> None:
    assert looks_capped(count) is looks_so
