"""`govern.lua` on a real Redis is the same arithmetic as `Budget`: the same questions get the same answers."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from embedded.redis_server import RedisServer
from pco_client.governor import Permit
from pco_client.rate_limit import Budget, RateReading
from pco_client.redis_governor import Answer, Sending, SharedBudget

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Lane `lane` asks for `wanted` permits `pause` seconds after the step before."""

    pause: float
    lane: str
    deep: bool
    wanted: int = 1


@dataclass(frozen=True, kw_only=True)
class Hear:
    """An answer arrives to the permit that was the `back`th last one."""

    pause: float
    back: int
    reading: RateReading
    refused: bool


@dataclass(frozen=True, kw_only=True)
class Send:
    """It is told that the request of the `back`th last permit was written `after` seconds after the permit."""

    pause: float
    back: int
    after: float


# Fractions that both sides write without rounding, so that no step falls on either side of an edge.
_SECONDS = (st.integers(0, 64) | st.integers(0, 64 * 25)).map(lambda number: number / 64)
_READINGS = st.builds(
    RateReading,
    limit=st.none() | st.integers(-1, 9) | st.sampled_from([1500, 1_000_000]),
    period_seconds=st.none() | st.sampled_from([0, 1, 5, 20, 60]),
    count=st.none() | st.integers(-1, 14) | st.sampled_from([999, 1000, 1001, 1_000_000]),
    retry_after_seconds=st.none() | st.sampled_from([1.0, 2.5, 30.0]),
)
_STEPS = st.lists(
    st.one_of(
        st.builds(
            Ask,
            pause=_SECONDS,
            lane=st.sampled_from(["backfill", "delta", ""]),
            deep=st.booleans(),
            wanted=st.sampled_from([1, 1, 2, 3, 9]),
        ),
        st.builds(Ask, pause=st.just(0.0), lane=st.sampled_from(["backfill", "delta", ""]), deep=st.just(False)),
        st.builds(
            Hear,
            pause=_SECONDS,
            back=st.integers(0, 5),
            reading=_READINGS,
            refused=st.sampled_from([False, False, True]),
        ),
        st.builds(Send, pause=st.sampled_from([0.0, 0.5, 4.0]), back=st.integers(0, 5), after=_SECONDS),
    ),
    min_size=1,
    max_size=60,
)


_FULL_WINDOW = [Ask(pause=0.0, lane="delta", deep=False)] * 6


@given(steps=_STEPS)
@example(
    steps=[
        *_FULL_WINDOW,
        Send(pause=4.0, back=5, after=3.0),
        Send(pause=0.0, back=4, after=2.0),
        Send(pause=0.0, back=5, after=1.0),
        *(Ask(pause=16.25, lane="delta", deep=False), *_FULL_WINDOW),
    ]
)
@settings(max_examples=60, deadline=None)
def test_the_script_and_the_budget_answer_alike(redis_server: RedisServer, steps: list[Ask | Hear | Send]) -> None:
    told, expected = asyncio.run(both(redis_server.url, steps))
    assert told == pytest.approx(expected, abs=2e-6)


async def both(url: str, steps: list[Ask | Hear | Send]) -> tuple[list[float], list[float]]:
    """What each side told who asked: to wait so long, and which permit it is."""
    budget, now = Budget(limits={False: 6, True: 4}), 1_700_000_000.0
    permits: list[Permit] = []
    told, expected = list[float](), list[float]()
    async with Redis.from_url(url) as redis:
        shared = SharedBudget(redis, f"parity-{next(_numbers)}")
        first = RateReading(limit=6, period_seconds=None, count=None, retry_after_seconds=None)
        deep = RateReading(limit=4, period_seconds=None, count=None, retry_after_seconds=None)
        await shared.learn(
            [
                Answer(permit=permit_of(0, now), reading=first, refused=False),
                Answer(permit=permit_of(0, now, deep=True), reading=deep, refused=False),
            ],
            now=now,
        )
        for step in steps:
            now += step.pause
            if isinstance(step, Ask):
                numbers, wait = list[int](), 0.0
                while len(numbers) < step.wanted and not wait:
                    mine = budget.take(now=now, lane=step.lane, deep=step.deep)
                    wait = mine.wait_seconds
                    numbers += [mine.number] if mine.is_granted else []
                taken = await shared.take(lane=step.lane, deep=step.deep, wanted=step.wanted, now=now)
                expected += [wait, len(numbers), *numbers]
                told += [taken.wait_seconds, len(taken.numbers), *taken.numbers]
                assert taken.at == now
                permits += [permit_of(number, now, lane=step.lane, deep=step.deep) for number in taken.numbers]
            elif permits:
                permit = permits[max(len(permits) - 1 - step.back, 0)]
                if isinstance(step, Send):
                    written_at = permit.taken_at + step.after
                    budget.sent(number=permit.number, at=written_at)
                    await shared.learn([Sending(permit=permit, at=written_at)], now=now)
                    continue
                budget.observe(
                    now=now, taken_at=permit.taken_at, deep=permit.deep, reading=step.reading, refused=step.refused
                )
                await shared.learn([Answer(permit=permit, reading=step.reading, refused=step.refused)], now=now)
    return told, expected


def permit_of(number: int, now: float, *, lane: str = "", deep: bool = False) -> Permit:
    return Permit(number=number, lane=lane, deep=deep, taken_at=now, asked_at=0.0, waited_seconds=0.0)


async def test_a_clock_that_goes_back_blocks_nobody_for_as_long(redis_url: str) -> None:
    """A machine that boots hours ahead, until its time is set."""
    async with Redis.from_url(redis_url) as redis:
        shared = SharedBudget(redis, "back")
        ahead = 1_700_000_000.0
        limited = RateReading(limit=6, period_seconds=20, count=None, retry_after_seconds=30.0)
        taken = await shared.take(lane="a", deep=False, wanted=6, now=ahead)
        await shared.learn([Answer(permit=permit_of(0, ahead), reading=limited, refused=True)], now=ahead)
        now = ahead - 7200
        waits = []
        for _ in range(3):
            taken = await shared.take(lane="b", deep=False, now=now)
            waits.append(taken.wait_seconds)
            now += taken.wait_seconds
        assert taken.numbers
        assert sum(waits) < 400


async def test_an_absurd_count_blocks_nobody(redis_url: str) -> None:
    """A fake without a limit says a million; for each of them the script used to add a permit, one by one."""
    absurd = RateReading(limit=1_000_000, period_seconds=20, count=1_000_000, retry_after_seconds=None)
    async with Redis.from_url(redis_url) as redis:
        shared = SharedBudget(redis, "absurd")
        for _ in range(3):
            await shared.learn([Answer(permit=permit_of(0, 0.0), reading=absurd, refused=False)])
        slowest = max(int(one["duration"]) for one in await redis.slowlog_get(128) or [{"duration": 0}])
        kept = await redis.zcard("pco-sync-budget:{absurd}:permits")
    assert kept <= 3000
    assert slowest < 100_000, "microseconds"
