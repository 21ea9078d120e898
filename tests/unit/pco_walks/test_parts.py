"""A long list is divided into windows that are short enough, together hold everything, and do not overlap."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client.sansio import Where
from pco_walks.parts import Part, decode_parts, divide, encode_parts, whole_again
from pco_walks.window import WHOLE, Window
from tests.histories import histories

START = datetime(2024, 1, 1, tzinfo=UTC)
Times = Sequence[tuple[datetime, datetime]]
"""Of each record: when it was created, and when it was changed."""


def is_asked_for(window: Window, created: datetime, updated: datetime) -> bool:
    """Whether PCO answers a record to the window's filters, read from the filters themselves."""
    return all(_fits(one, created if one.attribute == "created_at" else updated) for one in window.where())


def _fits(where: Where, at: datetime) -> bool:
    bound = datetime.fromisoformat(where.value)
    return {"gte": at >= bound, "lt": at < bound, "lte": at <= bound}[where.operator or ""]


def divided(window: Window, records: Times, *, most: int, second: str | None = None) -> tuple[list[Window], int]:
    """The windows, and how many had to be counted."""
    inside = [one for one in records if is_asked_for(window, *one)]
    dividing = divide(window, len(inside), most=most, second=second)
    counted = 0
    try:
        asked = next(dividing)
        while True:
            counted += 1
            asked = dividing.send(sum(is_asked_for(asked, *one) for one in inside))
    except StopIteration as done:
        return done.value, counted


MOMENTS = st.one_of(st.integers(0, 40), st.integers(0, 10_000_000), st.just(777)).map(
    lambda seconds: START + timedelta(seconds=seconds)
)
RECORDS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=60)


@histories(100)
@given(records=RECORDS, most=st.integers(1, 20))
def test_every_record_is_in_exactly_one_window_and_no_window_is_too_long(records: Times, most: int) -> None:
    whole = Window(attribute="created_at", since=None, until=START + timedelta(days=365))
    windows, _ = divided(whole, records, most=most)
    for record in records:
        assert sum(is_asked_for(window, *record) for window in windows) == 1
    for window in windows:
        inside = [created for created, updated in records if is_asked_for(window, created, updated)]
        assert len(inside) <= most or len(set(inside)) == 1, "only what lies in one second is left too long"


@histories(100)
@given(records=RECORDS, most=st.integers(1, 20))
def test_what_changed_in_one_second_is_divided_by_when_it_was_created(records: Times, most: int) -> None:
    """A hundred thousand records that were changed by one bulk edit."""
    delta = Window(attribute="updated_at", since=START, until=START + timedelta(days=365))
    windows, _ = divided(delta, records, most=most, second="created_at")
    for record in records:
        assert sum(is_asked_for(window, *record) for window in windows) == is_asked_for(delta, *record)
    for window in windows:
        inside = [record for record in records if is_asked_for(window, *record)]
        assert len(inside) <= most or len(set(inside)) == 1 or any(c > u for c, u in inside)


def test_counting_costs_little_beside_the_pages() -> None:
    records = [(START + timedelta(minutes=10 * number), START) for number in range(1000)]
    whole = Window(attribute="created_at", since=None, until=START + timedelta(days=30))
    windows, counted = divided(whole, records, most=25)
    assert 40 <= len(windows) <= 80
    assert counted <= 3 * len(windows)


def test_where_pco_does_not_count_a_window_stays_whole() -> None:
    whole = Window(attribute="created_at", since=None, until=START)
    dividing = divide(whole, 100, most=10)
    next(dividing)
    with pytest.raises(StopIteration) as done:
        dividing.send(None)
    assert done.value.value == [whole]


def test_what_just_fits_is_not_divided() -> None:
    whole = Window(attribute="created_at", since=None, until=START)
    with pytest.raises(StopIteration) as done:
        next(divide(whole, 10, most=10))
    assert done.value.value == [whole]


def test_two_seconds_are_divided_and_one_is_not() -> None:
    two = Window(attribute="updated_at", since=START, until=START + timedelta(seconds=1))
    assert next(divide(two, 20, most=10)).before == START + timedelta(seconds=1)
    with pytest.raises(StopIteration):
        next(divide(Window(attribute="updated_at", since=START, until=START), 20, most=10))


def test_what_is_older_than_planning_center_is_divided_before_its_end() -> None:
    """An import may name any time."""
    end = datetime(1990, 1, 1, tzinfo=UTC)
    middle = next(divide(Window(attribute="created_at", since=None, until=end), 20, most=10)).before
    assert middle is not None
    assert middle < end


def test_a_half_that_holds_more_than_the_whole_leaves_nothing_for_the_other_one() -> None:
    """Records came while they were counted; the other half is joined to the last window that has room for none."""
    whole = Window(attribute="created_at", since=None, until=START)
    dividing = divide(whole, 11, most=10)
    next(dividing)
    dividing.send(20)
    with pytest.raises(StopIteration) as done:
        dividing.send(10)
    assert len(done.value.value) == 2


def test_the_ledger_keeps_parts_as_they_are() -> None:
    also = Window(attribute="created_at", since=START, until=None)
    window = Window(attribute="updated_at", since=START, until=None, before=START + timedelta(seconds=1), also=also)
    parts = [Part(number=1, window=window), Part(number=2, window=WHOLE)]
    assert decode_parts(encode_parts(parts, "because")) == (parts, "because")


def test_a_number_is_never_used_twice() -> None:
    assert whole_again([Part(number=3, window=WHOLE), Part(number=1, window=WHOLE)]) == [Part(number=4, window=WHOLE)]
