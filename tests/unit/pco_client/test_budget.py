"""The budget of one credential: never over the limit, quick to learn, fair between lanes. Time is an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client.rate_limit import MARGIN, Budget, RateReading, read_rate

PERIOD = 20.0


def reading(
    *, limit: int | None = None, period: int | None = None, count: int | None = None, retry_after: float | None = None
) -> RateReading:
    return RateReading(limit=limit, period_seconds=period, count=count, retry_after_seconds=retry_after)


def take(budget: Budget, now: float, *, lane: str = "people", deep: bool = False) -> float:
    """The seconds to wait; 0 if a permit was taken."""
    return budget.take(now=now, lane=lane, deep=deep).wait_seconds


def take_all(budget: Budget, now: float, *, lane: str = "people", deep: bool = False) -> int:
    """How many permits there are at once."""
    taken = 0
    while take(budget, now, lane=lane, deep=deep) == 0:
        taken += 1
    return taken


def learn(
    budget: Budget,
    now: float,
    told: RateReading,
    *,
    taken_at: float | None = None,
    deep: bool = False,
    refused: bool = False,
) -> None:
    budget.observe(now=now, taken_at=now if taken_at is None else taken_at, deep=deep, reading=told, refused=refused)


def most_in_any_window(moments: list[float], seconds: float) -> int:
    return max((sum(1 for other in moments if start <= other < start + seconds) for start in moments), default=0)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, reading()),
        ({"x-pco-api-request-rate-limit": "100"}, reading(limit=100)),
        ({"x-pco-api-request-rate-period": "20"}, reading(period=20)),
        ({"x-pco-api-request-rate-period": "20 seconds"}, reading(period=20)),
        ({"x-pco-api-request-rate-count": "118"}, reading(count=118)),
        ({"x-pco-api-request-rate-limit": "many"}, reading()),
        ({"retry-after": "-5"}, reading(retry_after=1.0)),
        ({"retry-after": "19"}, reading(retry_after=19.0)),
        ({"retry-after": "86400"}, reading(retry_after=300.0)),
        ({"retry-after": "0.5"}, reading(retry_after=1.0)),
        ({"retry-after": "300"}, reading(retry_after=300.0)),
        ({"retry-after": "301"}, reading(retry_after=300.0)),
        ({"retry-after": "9" * 400}, reading(retry_after=300.0)),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, reading()),
        *(({f"x-pco-api-request-rate-{name}": "-5"}, reading()) for name in ("limit", "period", "count")),
        *(
            ({f"x-pco-api-request-rate-{name}": text}, reading())
            for name in ("limit", "period", "count")
            for text in ("", " ", "NaN", "inf", "1e6", "0x64", "twenty", "1.2.3", "\uff19", "--5", "9" * 400)
        ),
        ({"x-pco-api-request-rate-limit": "0"}, reading()),
        ({"x-pco-api-request-rate-limit": "1"}, reading(limit=1)),
        ({"x-pco-api-request-rate-limit": "99.5"}, reading(limit=99)),
        ({"x-pco-api-request-rate-limit": "+100"}, reading(limit=100)),
        ({"x-pco-api-request-rate-limit": "100, 100"}, reading(limit=100)),
        ({"x-pco-api-request-rate-limit": "100;w=20"}, reading(limit=100)),
        ({"x-pco-api-request-rate-limit": "1000000"}, reading(limit=100_000)),
        ({"x-pco-api-request-rate-limit": "9" * 20}, reading(limit=100_000)),
        ({"x-pco-api-request-rate-period": "0"}, reading()),
        ({"x-pco-api-request-rate-period": "1"}, reading(period=1)),
        ({"x-pco-api-request-rate-period": "300"}, reading(period=300)),
        ({"x-pco-api-request-rate-period": "301"}, reading()),
        ({"x-pco-api-request-rate-count": "0"}, reading(count=0)),
        ({"x-pco-api-request-rate-count": "10000"}, reading(count=10_000)),
        ({"x-pco-api-request-rate-count": "10001"}, reading()),
        ({"x-pco-api-request-rate-count": "1000000"}, reading()),
    ],
)
def test_the_rate_headers_are_read_in_every_spelling(headers: dict[str, str], told: RateReading) -> None:
    assert read_rate(headers) == told


def test_at_first_pcos_documented_limit_is_given_at_once_and_then_it_waits_for_the_window() -> None:
    budget = Budget()
    assert take_all(budget, 0.0) == 100
    assert take(budget, 0.0) == PERIOD + MARGIN
    assert take(budget, PERIOD) == MARGIN
    assert take_all(budget, PERIOD + MARGIN) == 100


def test_permits_come_back_one_by_one_as_they_were_taken() -> None:
    budget = Budget(limits={False: 3, True: 3})
    for moment in (0.0, 4.0, 9.0):
        assert take(budget, moment) == 0
    assert take(budget, 10.0) == 10.25
    assert take(budget, 20.25) == 0
    assert take(budget, 20.25) == 4.0


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 9),
            st.sampled_from(["a", "b", "c"]),
            st.booleans(),
            st.none() | st.integers(1, 12),
        ),
        max_size=120,
    ),
    period=st.sampled_from([2.0, 10.0, 20.0]),
)
def test_no_window_ever_holds_more_than_the_limit_in_force(
    steps: list[tuple[float, str, bool, int | None]], period: float
) -> None:
    """Whoever asks whenever, and whatever limit is learned on the way."""
    budget = Budget(limits={False: 8, True: 5}, period=period)
    now, limit, taken = 0.0, 8, list[float]()
    for pause, lane, deep, new_limit in steps:
        now += pause
        if new_limit is not None:
            learn(budget, now, reading(limit=new_limit))
            limit = new_limit
        if take(budget, now, lane=lane, deep=deep) == 0:
            taken.append(now)
            # the margin makes room for rounding as well as for the way to PCO
            assert sum(1 for moment in taken if moment > now - period) <= (min(limit, 5) if deep else limit)


@given(
    waits=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 3)), min_size=1, max_size=150),
    limit=st.integers(1, 9),
)
def test_who_waits_as_long_as_told_is_served_and_keeps_the_limit(waits: list[tuple[str, float]], limit: int) -> None:
    budget = Budget(limits={False: limit, True: limit}, period=5.0)
    now, taken = 0.0, list[float]()
    for lane, pause in waits:
        now += pause
        for _ in range(100):
            wait = take(budget, now, lane=lane)
            if wait == 0:
                break
            now += wait
        else:
            pytest.fail("waited a hundred times as long as told, and was not served")
        taken.append(now)
    assert most_in_any_window(taken, 5.0) <= limit


@given(
    requests=st.lists(
        st.tuples(st.floats(0, 0.5), st.floats(0, 4), st.floats(0, 4), st.sampled_from(["a", "b"])),
        min_size=1,
        max_size=80,
    ),
    limit=st.integers(1, 9),
)
def test_requests_that_are_written_late_keep_the_limit_at_the_time_they_are_written(
    requests: list[tuple[float, float, float, str]], limit: int
) -> None:
    """Each is asked for, written some time after its permit, and that is told some time later still, in any order."""
    period = 10.0
    budget = Budget(limits={False: limit, True: limit}, period=period, margin=MARGIN)
    now, written, untold = 0.0, list[float](), list[tuple[float, int, float]]()
    for pause, late, untold_for, lane in requests:
        now += pause
        while True:
            for telling in sorted(one for one in untold if one[0] <= now):
                untold.remove(telling)
                budget.sent(number=telling[1], at=telling[2])
            grant = budget.take(now=now, lane=lane, deep=False)
            if grant.is_granted:
                break
            now += grant.wait_seconds
        written.append(now + late)
        untold.append((now + late + untold_for, grant.number, now + late))
    assert most_in_any_window(written, period) <= limit


def test_a_permit_counts_from_the_time_its_request_was_written() -> None:
    budget = Budget(limits={False: 2, True: 2})
    numbers = [budget.take(now=moment, lane="people", deep=False).number for moment in (0.0, 1.0)]
    budget.sent(number=numbers[0], at=3.0)
    assert take(budget, 4.0) == pytest.approx(1.0 + PERIOD + MARGIN - 4.0)
    assert take(budget, 1.0 + PERIOD + MARGIN) == 0
    assert take(budget, 1.0 + PERIOD + MARGIN) == pytest.approx(2.0)


def test_a_permit_never_counts_from_an_earlier_time_than_it_did_and_an_unknown_one_changes_nothing() -> None:
    budget = Budget(limits={False: 1, True: 1})
    number = budget.take(now=10.0, lane="people", deep=False).number
    for told, at in [(number, 12.0), (number, 11.0), (number, 5.0), (number + 1, 19.0)]:
        budget.sent(number=told, at=at)
    assert take(budget, 20.0) == pytest.approx(12.0 + PERIOD + MARGIN - 20.0)


def test_a_request_written_after_its_permit_left_the_window_is_counted_again() -> None:
    budget = Budget(limits={False: 1, True: 1})
    number = budget.take(now=0.0, lane="people", deep=False).number
    assert take(budget, 30.0, lane="groups") == 0
    budget.sent(number=number, at=35.0)
    assert take(budget, 30.0 + PERIOD + MARGIN) == pytest.approx(5.0)


def test_limit_and_period_are_learned_from_any_answer() -> None:
    budget = Budget()
    learn(budget, 0.0, reading(limit=7, period=60))
    assert take_all(budget, 0.0) == 7
    assert take(budget, 0.0) == 60.25


@pytest.mark.parametrize("nonsense", [reading(limit=0, period=0), reading(limit=-5, period=-20), reading(count=-1)])
def test_nonsense_in_the_headers_changes_nothing(nonsense: RateReading) -> None:
    budget = Budget()
    learn(budget, 0.0, nonsense)
    assert take_all(budget, 0.0) == 100
    assert take(budget, 0.0) == PERIOD + MARGIN


def test_a_sudden_drop_to_10_is_kept_from_the_next_request_on() -> None:
    budget = Budget()
    assert sum(take(budget, moment / 10) == 0 for moment in range(60)) == 60
    learn(budget, 6.0, reading(limit=10))
    # 50 of the 60 must leave the window before it holds fewer than 10
    assert take(budget, 6.0) == pytest.approx(5.0 + PERIOD + MARGIN - 6.0)
    taken = [moment / 10 for moment in range(60, 1200) if take(budget, moment / 10) == 0]
    assert 40 <= len(taken) <= 50
    assert most_in_any_window(taken, PERIOD) == 10


def test_a_limit_that_rises_again_is_used_at_once() -> None:
    budget = Budget(limits={False: 10, True: 10})
    assert take_all(budget, 0.0) == 10
    learn(budget, 1.0, reading(limit=100))
    assert take_all(budget, 1.0) == 90


def test_a_period_that_becomes_longer_counts_what_was_forgotten() -> None:
    budget = Budget(limits={False: 10, True: 10})
    assert take_all(budget, 0.0) == 10
    assert take(budget, 25.0) == 0
    learn(budget, 25.0, reading(period=40))
    assert take(budget, 25.0) == pytest.approx(0.0 + 40.25 - 25.0)
    assert take_all(budget, 40.25) == 9


def test_a_retry_after_holds_back_every_lane_and_every_depth() -> None:
    budget = Budget()
    take(budget, 0.0)
    learn(budget, 1.0, reading(retry_after=7.0), refused=True)
    assert take(budget, 1.0) == 7.0
    assert take(budget, 3.0, lane="groups") == 5.0
    assert take(budget, 7.5, lane="emails", deep=True) == 0.5
    assert take(budget, 8.0, lane="groups") == 0


def test_a_refusal_without_a_wait_holds_back_for_a_second_and_never_shortens_a_longer_one() -> None:
    budget = Budget()
    learn(budget, 0.0, reading(retry_after=9.0), refused=True)
    learn(budget, 1.0, reading(), refused=True)
    assert take(budget, 2.0) == 7.0
    other = Budget()
    learn(other, 0.0, reading(), refused=True)
    assert take(other, 0.0) == 1.0


def test_a_refusal_costs_its_wait_and_one_place_and_then_all_the_rest_is_there_at_once() -> None:
    budget = Budget()
    for _ in range(60):
        take(budget, 0.0)
    learn(budget, 0.5, reading(limit=100, count=60, retry_after=7.0), refused=True)
    assert take(budget, 0.5) == 7.0
    assert take_all(budget, 7.5) == 40
    assert take_all(budget, PERIOD + MARGIN) == 60


def test_a_retry_after_without_a_refusal_holds_nobody_back() -> None:
    budget = Budget()
    learn(budget, 0.0, reading(retry_after=9.0))
    assert take(budget, 0.0) == 0


def test_deep_requests_have_a_limit_of_their_own_for_everything_that_counts() -> None:
    budget = Budget()
    for _ in range(60):
        take(budget, 0.0)
    assert take_all(budget, 0.0, deep=True) == 15
    assert take_all(budget, 0.0) == 25
    learn(budget, 1.0, reading(limit=10), deep=True)
    assert take_all(budget, 21.0, deep=True) == 10
    assert take_all(budget, 21.0) == 90


def test_a_lane_of_deep_requests_gets_its_share_of_a_budget_that_others_use_up() -> None:
    """PCO gives deep requests 75 of the 100 places that all others may fill."""
    budget, lanes = Budget(), {"people": False, "emails": False, "groups": False, "check-ins": True}
    due = dict.fromkeys(lanes, 0.0)
    granted: list[tuple[float, str]] = []
    while (now := min(due.values())) < 400.0:
        lane = min(due, key=due.__getitem__)
        wait = take(budget, now, lane=lane, deep=lanes[lane])
        if wait == 0:
            granted.append((now, lane))
        due[lane] = now + max(wait, 0.05)
    late = [lane for at, lane in granted if at >= 100.0]
    assert late.count("check-ins") >= len(late) / 8
    assert len(late) >= 300 / 20 * 70, "and little of the budget is left"


def test_requests_of_another_program_are_seen_in_the_count() -> None:
    budget = Budget()
    for _ in range(10):
        take(budget, 0.0)
    learn(budget, 0.5, reading(limit=100, count=40), taken_at=0.0)
    assert take_all(budget, 0.5) == 60
    assert take(budget, 0.5) == pytest.approx(PERIOD + MARGIN - 0.5)


def test_a_count_beyond_the_limit_fills_the_budget_and_no_more() -> None:
    budget = Budget()
    learn(budget, 0.0, reading(limit=100, count=5_000))
    assert take(budget, 0.0) > 0
    assert take_all(budget, PERIOD + MARGIN) == 100


def test_our_own_requests_are_not_taken_for_foreign_ones() -> None:
    """Answers come late and out of order, and each counts what was sent before and after it."""
    budget = Budget()
    for number in range(100):
        take(budget, number * 0.1)
    for number in reversed(range(100)):
        learn(budget, 10.0 + (100 - number) * 0.1, reading(count=number + 1), taken_at=number * 0.1)
    assert take(budget, PERIOD + MARGIN) == 0
    assert take(budget, PERIOD + MARGIN) == pytest.approx(0.1)


def test_an_answer_that_took_longer_than_the_window_still_knows_our_requests() -> None:
    budget = Budget()
    assert take_all(budget, 0.0) == 100
    learn(budget, 60.0, reading(count=100), taken_at=0.0)
    assert take_all(budget, 60.0) == 100


def test_of_what_other_programs_sent_no_more_is_added_at_once_than_a_thousand() -> None:
    budget = Budget()
    learn(budget, 0.0, reading(limit=100_000, count=10_000))
    assert len(budget._log) == 1000
    learn(budget, 0.0, reading(count=1001))
    assert len(budget._log) == 1001
