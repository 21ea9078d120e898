"""The window of a walk: chosen from the catalogue, written as PCO's filters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pco_client.sansio import Where
from pco_walks.window import LOOKBACK, WHOLE, ModeNotPossibleError, Window, choose_window
from tests.unit.tasks.records import THING

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BEFORE_NOON = NOON - timedelta(seconds=5)
"""The second of noon still goes on at noon; and PCO's clock may be four seconds behind ours."""
UNFILTERED = replace(THING, can_query_by=frozenset(), range_query_by=frozenset(), can_order_by=frozenset())
WITHOUT_RANGES = replace(THING, range_query_by=frozenset(), can_order_by=frozenset())
ORDERED = replace(WITHOUT_RANGES, can_order_by=frozenset({"updated_at"}))
APPENDED = replace(
    UNFILTERED,
    can_query_by=frozenset({"created_at"}),
    range_query_by=frozenset({"created_at"}),
    incremental="where_created_at",
)


def test_a_full_walk_ends_at_its_start_so_that_nothing_enters_it() -> None:
    window = choose_window(THING, mode="full", until=NOON, watermark=None)
    assert window == Window(attribute="created_at", since=None, until=BEFORE_NOON)
    assert window.is_bounded
    assert window.where() == (Where(attribute="created_at", operator="lte", value="2026-11-24T11:59:55Z"),)


@pytest.mark.parametrize("entity", [UNFILTERED, WITHOUT_RANGES])
def test_without_a_filter_for_it_a_full_walk_has_no_bound(entity: object) -> None:
    window = choose_window(entity, mode="full", until=NOON, watermark=None)  # type: ignore[arg-type]
    assert not window.is_bounded
    assert window.where() == ()


def test_a_delta_reads_from_a_little_before_the_watermark() -> None:
    window = choose_window(THING, mode="delta", until=NOON, watermark=NOON - timedelta(hours=1))
    assert window == Window(attribute="updated_at", since=NOON - timedelta(hours=1) - LOOKBACK, until=BEFORE_NOON)
    assert [one.operator for one in window.where()] == ["gte", "lte"]


def test_where_pco_only_orders_by_the_change_a_delta_is_read_from_the_newest_record_on() -> None:
    window = choose_window(ORDERED, mode="delta", until=NOON, watermark=NOON)
    assert window.is_newest_first
    assert not window.is_bounded
    assert (window.since, window.where()) == (NOON - LOOKBACK, ())


def test_of_records_that_never_change_a_delta_reads_those_that_were_created() -> None:
    window = choose_window(APPENDED, mode="delta", until=NOON, watermark=NOON)
    assert (window.attribute, window.since) == ("created_at", NOON - LOOKBACK)


def test_a_window_is_told_to_pco_in_whole_seconds_of_utc() -> None:
    until = datetime(2026, 11, 24, 13, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))
    (bound,) = choose_window(THING, mode="full", until=until, watermark=None).where()
    assert bound.value == "2026-11-24T10:59:55Z"


@pytest.mark.parametrize(
    ("entity", "watermark", "told"),
    [(UNFILTERED, NOON, "use mode 'full'"), (WITHOUT_RANGES, NOON, "use mode 'full'"), (THING, None, "no watermark")],
)
def test_a_delta_that_is_not_possible_says_what_to_do(entity: object, watermark: datetime | None, told: str) -> None:
    with pytest.raises(ModeNotPossibleError, match=told) as caught:
        choose_window(entity, mode="delta", until=NOON, watermark=watermark)  # type: ignore[arg-type]
    assert "tests.Thing" in str(caught.value)
    assert "'delta'" in str(caught.value)


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        (NOON - timedelta(hours=1), True),
        (NOON, True),
        (NOON + timedelta(seconds=1), True),  # PCO's times are exact to the second
        (NOON + timedelta(seconds=2), False),
        (NOON - timedelta(hours=2, seconds=1), True),
        (NOON - timedelta(hours=2, seconds=2), False),
        (None, True),
    ],
)
def test_a_window_tells_which_rows_cannot_be_an_answer_to_it(at: datetime | None, holds: bool) -> None:
    window = Window(attribute="updated_at", since=NOON - timedelta(hours=2), until=NOON)
    assert window.holds({"updated_at": at}) is holds


FULL = Window(attribute="created_at", since=None, until=NOON)


@pytest.mark.parametrize(
    ("window", "is_so"),
    [
        (FULL, True),
        (replace(FULL, attribute=None), False),
        (replace(FULL, since=NOON - timedelta(hours=1)), False),
        (replace(FULL, before=NOON), False),
        (replace(FULL, until=None), False),
        (replace(FULL, until=None, before=NOON), False),
        (replace(FULL, also=FULL), False),
    ],
)
def test_only_a_window_of_everything_until_a_time_can_be_held_against_the_whole_list(
    window: Window, is_so: bool
) -> None:
    assert window.is_all_until is is_so


def test_what_is_newer_is_exactly_what_the_window_leaves_out_of_those_that_have_a_time() -> None:
    inside, newer = FULL.where(), FULL.where_newer()
    assert [(one.attribute, one.operator) for one in (*inside, *newer)] == [("created_at", "lte"), ("created_at", "gt")]
    assert inside[0].value == newer[0].value


@pytest.mark.parametrize(
    ("window", "is_newest_first"),
    [
        (WHOLE, False),
        (Window(attribute=None, since=NOON, until=NOON), True),
        (Window(attribute="updated_at", since=NOON, until=NOON), False),
        (Window(attribute="created_at", since=None, until=NOON), False),
    ],
)
def test_only_what_cannot_be_filtered_and_goes_back_to_a_time_is_read_from_the_newest_on(
    window: Window, is_newest_first: bool
) -> None:
    assert window.is_newest_first is is_newest_first
