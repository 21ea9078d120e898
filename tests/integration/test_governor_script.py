"""`govern.lua` on a real Redis is the same arithmetic as `Budget`: the same questions get the same answers."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from embedded.redis_server import RedisServer
from pco_client.governor import Permit
from pco_client.rate_limit import Budget, RateReading
from pco_client.redis_governor import Answer, SharedBudget

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Lane `lane` asks for a permit `pause` seconds after the step before."""

    pause: float
    lane: str
    deep: bool


@dataclass(frozen=True, kw_only=True)
class Hear:
    """An answer arrives to the permit that was the `back`th last one."""

    pause: float
    back: int
    reading: RateReading
    refused: bool


# Fractions that both sides write without rounding, so that no step falls on either side of an edge.
_SECONDS = (st.integers(0, 64) | st.integers(0, 64 * 25)).map(lambda number: number / 64)
_READINGS = st.builds(
    RateReading,
    limit=st.none() | st.integers(-1, 9),
    period_seconds=st.none() | st.sampled_from([0, 1, 5, 20, 60]),
    count=st.none() | st.integers(-1, 14),
    retry_after_seconds=st.none() | st.sampled_from([1.0, 2.5, 30.0]),
)
_STEPS = st.lists(
    st.one_of(
        st.builds(Ask, pause=_SECONDS, lane=st.sampled_from(["backfill", "delta", ""]), deep=st.booleans()),
        st.builds(Ask, pause=st.just(0.0), lane=st.sampled_from(["backfill", "delta", ""]), deep=st.just(False)),
        st.builds(
            Hear,
            pause=_SECONDS,
            back=st.integers(0, 5),
            reading=_READINGS,
            refused=st.sampled_from([False, False, True]),
        ),
    ),
    min_size=1,
    max_size=60,
)


@given(steps=_STEPS)
@settings(max_examples=60, deadline=None)
def test_the_script_and_the_budget_answer_alike(redis_server: RedisServer, steps: list[Ask | Hear]) -> None:
    told, expected = asyncio.run(both(redis_server.url, steps))
    assert told == pytest.approx(expected, abs=2e-6)


async def both(url: str, steps: list[Ask | Hear]) -> tuple[list[float], list[float]]:
    """What each side told who asked to wait."""
    budget, now = Budget(limits={False: 6, True: 4}), 1_700_000_000.0
    permits: list[Permit] = []
    told, expected = list[float](), list[float]()
    async with Redis.from_url(url) as redis:
        shared = SharedBudget(redis, f"parity-{next(_numbers)}")
        begin = Answer(
            permit=Permit(taken_at=now, deep=False, waited_seconds=0.0),
            reading=RateReading(limit=6, period_seconds=None, count=None, retry_after_seconds=None),
            refused=False,
        )
        deep = Answer(
            permit=Permit(taken_at=now, deep=True, waited_seconds=0.0),
            reading=RateReading(limit=4, period_seconds=None, count=None, retry_after_seconds=None),
            refused=False,
        )
        await shared.learn([begin, deep], now=now)
        for step in steps:
            now += step.pause
            if isinstance(step, Ask):
                expected.append(budget.take(now=now, lane=step.lane, deep=step.deep).wait_seconds)
                grant, at = await shared.take(lane=step.lane, deep=step.deep, now=now)
                told.append(grant.wait_seconds)
                assert at == now
                if grant.is_granted:
                    permits.append(Permit(taken_at=now, deep=step.deep, waited_seconds=0.0))
            elif permits:
                permit = permits[max(len(permits) - 1 - step.back, 0)]
                budget.observe(
                    now=now, sent_at=permit.taken_at, deep=permit.deep, reading=step.reading, refused=step.refused
                )
                await shared.learn([Answer(permit=permit, reading=step.reading, refused=step.refused)], now=now)
    return told, expected
