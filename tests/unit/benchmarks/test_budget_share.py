"""The share of the rate limit, as the benchmarks count it."""

import pytest

from benchmarks.budget_share import budget_share


def log_of(*seconds: float) -> list[dict[str, float]]:
    return [{"at": at, "status": 200} for at in seconds]


def test_bursts_as_soon_as_the_limit_allows_are_all_of_it() -> None:
    share = budget_share(log_of(*[3.0] * 100, *[23.0] * 100, 43.0), windows=2, longest_answer_seconds=0.1)
    assert (share.answered, share.in_the_long_run) == (1.0, 1.0)


def test_what_comes_late_is_missing_from_both_views() -> None:
    share = budget_share(log_of(*[0.0] * 100, *[25.0] * 90, *[39.95] * 10, 50.0), windows=2, longest_answer_seconds=0.1)
    assert share.answered == pytest.approx(0.95)
    assert share.in_the_long_run == pytest.approx(0.8)


def test_refused_requests_use_the_budget_up_and_answer_nothing() -> None:
    log = [{"at": 0.0, "status": 429}] * 50 + log_of(*[0.0] * 50, 20.5)
    assert budget_share(log, windows=1, longest_answer_seconds=0).answered == 0.5


def test_a_window_that_was_never_filled_is_no_share_at_all() -> None:
    assert budget_share(log_of(0.0, 1.0), windows=1, longest_answer_seconds=0).in_the_long_run == 0.0
