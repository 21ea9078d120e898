"""Governors of many processes share one budget through Redis: never over it, and nearly all of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from redis.asyncio import Redis

from pco_client import GovernorUnavailable, PageRequest, PcoClient, PersonalAccessToken, RedisGovernor
from pco_client.governor import Permit
from pco_client.rate_limit import MARGIN, RateReading
from pco_client.redis_governor import PATIENCE_SECONDS
from tests.plain_http import NOBODY
from tests.simulators import SimulatorProcess

PEOPLE = PageRequest(path="/people/v2/people", api_version="2025-11-10", per_page=1)
NOTHING = RateReading(limit=None, period_seconds=None, count=None, retry_after_seconds=None)


@pytest.fixture(scope="module")
def limited() -> Iterator[SimulatorProcess]:
    """A simulator; each test sets its limit."""
    with SimulatorProcess(people=5, groups=1) as simulator:
        yield simulator


@asynccontextmanager
async def reader(simulator: SimulatorProcess, redis_url: str, *, margin: float = MARGIN) -> AsyncIterator[PcoClient]:
    """A client with connections of its own, as another process has."""
    credential = PersonalAccessToken(simulator.app_id, simulator.secret)
    async with (
        Redis.from_url(redis_url) as redis,
        httpx.AsyncClient(verify=NOBODY, base_url=simulator.base_url, trust_env=False) as http,
    ):
        governor = RedisGovernor(redis, credential.identity, margin=margin)
        yield PcoClient(http, credential=credential, governor=governor, base_url=simulator.base_url)


async def read(client: PcoClient, requests: int, *, at_once: int, lane: str) -> float:
    """Send so many requests; the seconds that they waited."""
    left, waited = iter(range(requests)), 0.0

    async def work() -> None:
        nonlocal waited
        for _ in left:
            waited += (await client.fetch_page(PEOPLE, expected_type="Person", lane=lane)).waited_seconds

    await asyncio.gather(*(work() for _ in range(at_once)))
    return waited


async def test_two_readers_keep_one_limit_and_use_it_up(limited: SimulatorProcess, redis_url: str) -> None:
    # Four times our margin: a machine that stands still between the writing and the arrival of a request is not ours.
    period, margin = 5.0, 1.0
    limited.rate_limit(limit=40, period=5)
    limited.reset_log()
    async with (
        reader(limited, redis_url, margin=margin) as first,
        reader(limited, redis_url, margin=margin) as second,
    ):
        await asyncio.gather(
            read(first, 60, at_once=3, lane="people"),
            read(second, 60, at_once=3, lane="people"),
        )
    stats = limited.stats()
    assert stats["by_status"] == {"200": 120}
    assert stats["max_in_window"] == 40
    # Each 40 may come a window after those before. A busy machine delays one or the other, and brings none forward.
    arrivals = [one["at"] for one in limited.access_log()]
    assert (period + margin) / min(arrivals[start + 40] - arrivals[start] for start in (0, 40)) >= 0.97


async def test_one_refusal_holds_back_every_reader(limited: SimulatorProcess, redis_url: str) -> None:
    limited.rate_limit(limit=None)
    limited.reset_log()
    limited.faults([{"kind": "429", "at_request": 11, "retry_after": 1}])
    async with reader(limited, redis_url) as first, reader(limited, redis_url) as second:
        await asyncio.gather(
            read(first, 15, at_once=1, lane="people"),
            read(second, 15, at_once=1, lane="groups"),
        )
    log = limited.access_log()
    assert [one["status"] for one in log].count(429) == 1
    refused_at = log[10]["at"]
    # the other reader may have had one request on its way, and a permit for the next before it was told
    meanwhile = [one for one in log[11:] if one["at"] < refused_at + 1.0]
    assert len(meanwhile) <= 2
    assert len(log) == 31


async def test_a_request_of_another_program_is_seen_in_the_count(limited: SimulatorProcess, redis_url: str) -> None:
    limited.rate_limit(limit=40, period=4)
    limited.reset_log()
    async with httpx.AsyncClient(
        verify=NOBODY, base_url=limited.base_url, trust_env=False, headers={"User-Agent": "x"}
    ) as other:
        asked = (other.get("/people/v2/people", auth=(limited.app_id, limited.secret)) for _ in range(30))
        assert {one.status_code for one in await asyncio.gather(*asked)} == {200}
    async with reader(limited, redis_url) as client:
        waited = await read(client, 15, at_once=1, lane="people")
    assert limited.stats()["refused"] == 0
    assert waited > 0


async def test_a_lane_without_a_name_is_served(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        permit = await asyncio.wait_for(RedisGovernor(redis, "nameless").acquire(lane="", deep=False), 10)
    assert permit.waited_seconds == 0


async def test_the_first_in_line_asks_for_all_who_wait(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "line")
        await governor.acquire(lane="people", deep=False)
        before = await redis.info("commandstats")
        permits = await asyncio.gather(*(governor.acquire(lane="people", deep=False) for _ in range(20)))
        after = await redis.info("commandstats")
    assert [one.number for one in permits] == list(range(2, 22))
    questions = after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"]
    assert questions == 2, "one for the first, who came alone, and one for all others"


async def test_who_goes_away_holds_up_nobody_behind_him(redis_url: str) -> None:
    asleep, awake = asyncio.Queue[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.put_nowait(seconds)
        await awake.wait()

    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "left", sleep=sleep)
        limit = RateReading(limit=1, period_seconds=60, count=None, retry_after_seconds=None)
        permit = await governor.acquire(lane="people", deep=False)
        await governor.observe(permit, limit, refused=False)
        first, second, third, fourth = (
            asyncio.create_task(governor.acquire(lane="people", deep=False)) for _ in range(4)
        )
        assert await asleep.get() > 0
        third.cancel()
        first.cancel()
        assert await asleep.get() > 0, "the second asks now"
        assert not second.done()
        await governor.observe(permit, replace(limit, limit=9), refused=False)
        awake.set()
        numbers = [(await one).number for one in (second, fourth)]
    assert numbers == [2, 3]
    assert (first.cancelled(), third.cancelled()) == (True, True)


async def test_redis_may_forget_everything_and_the_governor_goes_on(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "forgotten")
        await governor.acquire(lane="people", deep=False)
        await redis.script_flush()
        await redis.flushall()
        permit = await governor.acquire(lane="people", deep=False)
        await governor.observe(permit, NOTHING, refused=False)
        await governor.aclose()
        assert await redis.zcard("pco-sync-budget:{forgotten}:permits") == 1


async def test_answers_are_kept_until_the_next_permit_but_not_without_end(redis_url: str) -> None:
    told = RateReading(limit=7, period_seconds=20, count=1, retry_after_seconds=None)
    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "answers")
        permit = await governor.acquire(lane="people", deep=False)
        for _ in range(63):
            await governor.observe(permit, told, refused=False)
        state = "pco-sync-budget:{answers}:state"
        assert await redis.hget(state, "limit:0") is None
        await governor.observe(permit, told, refused=False)
        assert await redis.hget(state, "limit:0") == b"7"


async def test_a_request_written_late_is_told_to_every_process_at_once_and_one_in_time_is_not(redis_url: str) -> None:
    now = [50.0]
    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "late", now=lambda: now[0])
        permits = [await governor.acquire(lane="people", deep=False) for _ in range(3)]
        await governor.sent(permits[0])
        now[0] += 0.05
        await governor.sent(permits[1])
        now[0] += 2.95
        await governor.sent(permits[2])
        scores = [await redis.zscore("pco-sync-budget:{late}:permits", f"{one.number}:people") for one in permits]
    moved = [(score or 0.0) - one.taken_at for score, one in zip(scores, permits, strict=True)]
    assert moved == pytest.approx([0.0, 0.0, 3.0], abs=1e-5)


async def test_the_time_that_redis_was_away_does_not_make_a_permit_late(redis_url: str) -> None:
    now = [50.0]

    async def sleep(seconds: float) -> None:
        now[0] += 20.0
        redis.connection_pool = reachable.connection_pool

    async with Redis.from_url("redis://127.0.0.1:1/0") as redis, Redis.from_url(redis_url) as reachable:
        governor = RedisGovernor(redis, "away-once", now=lambda: now[0], sleep=sleep)
        permit = await governor.acquire(lane="people", deep=False)
    assert (permit.asked_at, governor.is_good(permit)) == (70.0, True)


async def test_a_permit_is_good_for_less_than_a_window(redis_url: str) -> None:
    now = [50.0]
    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "good", now=lambda: now[0])
        permit = await governor.acquire(lane="people", deep=False)
        now[0] += 15.0
        assert governor.is_good(permit)
        now[0] += 0.1
        assert not governor.is_good(permit)


async def test_without_redis_nothing_is_sent_and_after_some_patience_it_is_told() -> None:
    now, slept = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    async with Redis.from_url("redis://:hunter2@127.0.0.1:1/0") as redis:
        governor = RedisGovernor(redis, "away", now=lambda: now, sleep=sleep)
        with pytest.raises(GovernorUnavailable, match="Redis cannot be reached") as caught:
            await governor.acquire(lane="people", deep=False)
        assert PATIENCE_SECONDS < now < PATIENCE_SECONDS + 6
        assert slept[:4] == [0.1, 0.2, 0.4, 0.8]
        assert max(slept) == 5.0
        assert "hunter2" not in repr(caught.value)
        permit = Permit(number=1, lane="people", deep=False, taken_at=0.0, asked_at=now, waited_seconds=0.0)
        await governor.observe(permit, NOTHING, refused=False)
        with pytest.raises(GovernorUnavailable):
            await governor.observe(permit, NOTHING, refused=True)
