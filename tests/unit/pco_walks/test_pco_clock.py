"""Where a window ends by PCO's clock: ordinary skew corrects nothing, a wrong clock is corrected."""

from datetime import UTC, datetime, timedelta

import pytest

from pco_walks.pco_clock import corrected_until, known_ahead, pco_ahead
from pco_walks.window import choose_window
from tests.unit.tasks.records import THING

NOW = datetime(2026, 11, 24, 12, 0, 0, 700_000, tzinfo=UTC)
UNTIL = choose_window(THING, mode="full", until=NOW, watermark=None).until

AT_ONCE = timedelta()


def dated(seconds: float) -> datetime:
    """The `Date` of an answer, to the second, when PCO's clock is so much ahead of ours."""
    return (NOW + timedelta(seconds=seconds)).replace(microsecond=0)


@pytest.mark.parametrize("ahead", [-4, -3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_clock_that_is_some_seconds_off_moves_no_window(ahead: int, is_new: bool) -> None:
    assert corrected_until(UNTIL, dated(ahead), took=AT_ONCE, opened_at=NOW, is_child=False, is_new=is_new) is None


@pytest.mark.parametrize("ahead", [-3600, -60, -5])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_window_that_ends_beyond_pcos_time_ends_with_its_last_closed_second(ahead: int, is_new: bool) -> None:
    """Else records would enter it, and the next delta would begin where PCO has not been."""
    closed = dated(ahead) - timedelta(seconds=1)
    assert corrected_until(UNTIL, dated(ahead), took=AT_ONCE, opened_at=NOW, is_child=False, is_new=is_new) == closed


def test_one_that_ends_long_before_is_moved_only_when_the_run_has_just_been_opened() -> None:
    assert corrected_until(UNTIL, dated(4), took=AT_ONCE, opened_at=NOW, is_child=False, is_new=True) == dated(3)
    assert corrected_until(UNTIL, dated(3600), took=AT_ONCE, opened_at=NOW, is_child=False, is_new=True) == dated(3599)
    assert corrected_until(UNTIL, dated(3600), took=AT_ONCE, opened_at=NOW, is_child=False, is_new=False) is None
    assert corrected_until(UNTIL, dated(3600), took=AT_ONCE, opened_at=NOW, is_new=True, is_child=True) is None


@pytest.mark.parametrize("took", [4, 60, 3600])
@pytest.mark.parametrize("answered", [0, 0.5, 1])
def test_the_time_that_an_answer_takes_is_not_the_clocks_whenever_pco_dated_it(took: int, answered: float) -> None:
    """A permit and a slow list make it late; PCO dates it anywhere between question and answer."""
    waited = timedelta(seconds=took)
    assert (
        corrected_until(UNTIL, dated(answered * took), took=waited, opened_at=NOW, is_new=True, is_child=False) is None
    )


def test_a_late_answer_shows_a_wrong_clock_and_the_window_ends_when_the_walk_began() -> None:
    minute = timedelta(minutes=1)
    assert corrected_until(UNTIL, dated(3660), took=minute, opened_at=NOW, is_new=True, is_child=False) == dated(3599)
    assert corrected_until(UNTIL, dated(60 - 3600), took=minute, opened_at=NOW, is_new=True, is_child=False) == dated(
        -3601
    )


def test_without_a_date_or_an_end_nothing_is_corrected() -> None:
    assert corrected_until(UNTIL, None, took=AT_ONCE, opened_at=NOW, is_child=False, is_new=True) is None
    assert corrected_until(None, dated(-3600), took=AT_ONCE, opened_at=NOW, is_new=True, is_child=False) is None


@pytest.mark.parametrize("late", [8, 60])
def test_a_run_that_is_opened_long_after_its_window_was_chosen_shows_no_wrong_clock(late: int) -> None:
    """So it is for the lists of a church on a busy machine: read again, each would cost its requests twice."""
    opened = NOW + timedelta(seconds=late)
    assert corrected_until(UNTIL, dated(late), opened_at=opened, took=AT_ONCE, is_child=False, is_new=True) is None
    wrong = corrected_until(UNTIL, dated(late + 60), opened_at=opened, took=AT_ONCE, is_child=False, is_new=True)
    assert wrong == dated(late + 59)


@pytest.mark.parametrize("days", [3, 365, 30 * 365])
def test_a_date_of_days_to_come_is_not_believed(days: int) -> None:
    """A watermark in the year 2056 would hide everything that changes until then."""
    answered = NOW + timedelta(days=days)
    assert corrected_until(UNTIL, answered, opened_at=NOW, took=AT_ONCE, is_child=False, is_new=True) is None


@pytest.mark.parametrize("days", [-400, -1, 1])
def test_a_database_that_is_a_day_behind_or_any_time_ahead_ends_its_windows_by_pcos_clock(days: int) -> None:
    """Else the next delta would begin after what changes until then."""
    seconds = days * 86_400
    corrected = corrected_until(UNTIL, dated(seconds), opened_at=NOW, took=AT_ONCE, is_child=False, is_new=True)
    assert corrected == dated(seconds - 1)


@pytest.mark.parametrize("ahead", [-3600, -60, 60, 3600])
def test_however_many_lists_find_a_wrong_clock_they_find_the_same(ahead: int) -> None:
    """What was known of it before is not in what they find, so that it does not add up."""
    for known in (-600, 0, 600):
        until = choose_window(THING, mode="full", until=NOW + timedelta(seconds=known), watermark=None).until
        corrected = corrected_until(until, dated(ahead), opened_at=NOW, took=AT_ONCE, is_child=False, is_new=True)
        assert corrected is None or pco_ahead(corrected, NOW) == timedelta(seconds=ahead)


@pytest.mark.parametrize("ahead", [-3600, -600, 0, 600])
@pytest.mark.parametrize("known", [-86_400, -7200])
def test_a_clock_that_was_behind_and_goes_right_again_is_known_to_be_right(known: int, ahead: int) -> None:
    """A window that ends too early is corrected by nothing, so that each delta would end as much too early."""
    now = known_ahead(timedelta(seconds=known), dated(ahead), opened_at=NOW, took=AT_ONCE)
    assert abs(now - timedelta(seconds=ahead)) <= timedelta(seconds=1)


@pytest.mark.parametrize("known", [-3600, 0, 3600])
@pytest.mark.parametrize("took", [0, 60])
@pytest.mark.parametrize("answered", [0, 1])
def test_an_answer_that_fits_what_is_known_changes_nothing_however_long_it_took(
    known: int, took: int, answered: int
) -> None:
    shown = dated(known + answered * took)
    waited = timedelta(seconds=took)
    assert known_ahead(timedelta(seconds=known), shown, opened_at=NOW, took=waited) == timedelta(seconds=known)


def test_a_date_of_years_to_come_teaches_nothing() -> None:
    assert known_ahead(AT_ONCE, NOW + timedelta(days=365), opened_at=NOW, took=AT_ONCE) == AT_ONCE
