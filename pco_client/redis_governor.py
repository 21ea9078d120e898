"""The budget of one credential, shared by every process through Redis."""

import asyncio
import json
import time
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import chain, islice, repeat
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pco_client.governor import GovernorUnavailable, Permit, spread
from pco_client.rate_limit import (
    CLAIM_SECONDS,
    CLAIMED_WAIT,
    DEFAULT_DEEP_LIMIT,
    DEFAULT_LIMIT,
    DEFAULT_PERIOD,
    LATE_SECONDS,
    LONGEST_WAIT,
    MARGIN,
    MOST_FOREIGN,
    PERMIT_GOOD_SECONDS,
    REMEMBERED_SECONDS,
    RateReading,
)
from pco_client.redis_trouble import RedisRefused, first_trouble, redis_trouble

T = TypeVar("T")

PATIENCE_SECONDS: Final = 30.0
"""How long Redis may be away before a request is given up. Sending without a permit could spend others' budget."""
WANTED_AT_ONCE: Final = 100
"""So many permits are asked for in one question: all that PCO's usual window has."""
LEARNED_AT_ONCE: Final = 64
"""So many answers are kept until the next permit; then they are told without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an answer said about the rate, and the permit it was asked with."""

    permit: Permit
    reading: RateReading
    refused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """When the request of a permit was written, on the budget's clock."""

    permit: Permit
    at: float


Lesson = Answer | Sending


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """The numbers of the permits that were taken at `at` on the budget's clock; the wait until there is another one.

    `wait_seconds` is 0 if there were as many as were wanted.
    """

    numbers: Sequence[int]
    wait_seconds: float
    at: float


def budget_keys(identity: str) -> list[str]:
    """Where the budget of a credential stands in Redis."""
    base = f"pco-sync-budget:{{{identity}}}"
    return [f"{base}:permits", f"{base}:state", f"{base}:claims"]


class SharedBudget:
    """`rate_limit.Budget` of one credential, for every process: one script in Redis, one atomic step at a time."""

    def __init__(self, redis: Redis, identity: str, *, margin: float = MARGIN) -> None:
        self._keys = budget_keys(identity)
        source = resources.files("pco_client").joinpath("govern.lua").read_text(encoding="utf-8")
        self._script = redis.register_script(source)
        rules = {
            "margin": margin,
            "claim_seconds": CLAIM_SECONDS,
            "claimed_wait": CLAIMED_WAIT,
            "remembered_seconds": REMEMBERED_SECONDS,
            "limit": DEFAULT_LIMIT,
            "deep_limit": DEFAULT_DEEP_LIMIT,
            "period": DEFAULT_PERIOD,
            "most_foreign": MOST_FOREIGN,
            "longest_wait": LONGEST_WAIT,
        }
        self._rules = json.dumps(rules)

    async def take(
        self, *, lane: str, deep: bool, wanted: int = 1, lessons: Sequence[Lesson] = (), now: float | None = None
    ) -> Taken:
        """Learn `lessons`, then take permits, up to `wanted`, as long as there are any; on Redis' clock or `now`."""
        return await self._run(lane, wanted, int(deep), lessons, now)

    async def learn(self, lessons: Sequence[Lesson], *, now: float | None = None) -> None:
        """Learn `lessons` only."""
        await self._run("", 0, 0, lessons, now)

    async def _run(self, lane: str, wanted: int, deep: int, lessons: Sequence[Lesson], now: float | None) -> Taken:
        told = json.dumps([_told(one) for one in lessons]) if lessons else ""
        time_text = "" if now is None else f"{now:.6f}"
        wait_seconds, at, *numbers = await self._script(
            keys=self._keys, args=[lane, wanted, deep, told, time_text, self._rules]
        )
        return Taken(numbers=numbers, wait_seconds=float(wait_seconds), at=float(at))


class RedisGovernor:
    """All arithmetic happens in one Lua script, on Redis' clock. Answers are learned from with the next permit.

    The first of a lane's waiters asks for all of them: on a busy machine an answer of Redis is read late, and as many
    answers one after the other would be more than the requests themselves take.

    That a request was written late is told at once: another process may be waiting for this very permit to come back.

    Raises `GovernorUnavailable` when Redis is away for longer than `PATIENCE_SECONDS`, and `RedisRefused` at once when
    waiting cannot help.
    """

    def __init__(
        self,
        redis: Redis,
        identity: str,
        *,
        margin: float = MARGIN,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._has_answered = False
        self._budget = SharedBudget(redis, identity, margin=margin)
        self._now = now
        self._sleep = sleep
        self._lines: dict[tuple[str, bool], deque[Future[Permit | None]]] = {}
        self._unlearned: list[Lesson] = []

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        """Wait until a request may be sent."""
        line = self._lines.setdefault((lane, deep), deque())
        place: Future[Permit | None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            if line[0] is not place:
                permit = await place
                if permit is not None:
                    return permit
            return await self._ask_for(line, lane=lane, deep=deep)
        finally:
            self._leave(line, place, key=(lane, deep))

    async def _ask_for(self, line: deque[Future[Permit | None]], *, lane: str, deep: bool) -> Permit:
        """The permit of the first in the line; those behind it are given theirs, as far as there are any."""
        waited = 0.0
        while True:
            wanted = 1 if waited else min(1 + len(_standing_behind_first(line)), WANTED_AT_ONCE)
            ask = partial(self._ask, lane=lane, deep=deep, wanted=wanted, lessons=self._take_unlearned())
            taken, asked_at = await self._patiently(ask)
            permits = [
                Permit(
                    number=number, lane=lane, deep=deep, taken_at=taken.at, asked_at=asked_at, waited_seconds=seconds
                )
                for number, seconds in zip(taken.numbers, chain([waited], repeat(0.0)), strict=False)
            ]
            if permits:
                for place, permit in zip(_standing_behind_first(line), permits[1:], strict=False):
                    place.set_result(permit)
                    line.remove(place)
                return permits[0]
            waited += taken.wait_seconds
            await self._sleep(taken.wait_seconds)

    def _leave(
        self, line: deque[Future[Permit | None]], place: Future[Permit | None], *, key: tuple[str, bool]
    ) -> None:
        """However it ended: whoever stands behind the first is the first now, and asks."""
        if place not in line:
            return
        was_first = line[0] is place
        line.remove(place)
        if not line:
            del self._lines[key]
        elif was_first and not line[0].done():
            line[0].set_result(None)

    def is_good(self, permit: Permit) -> bool:
        """Whether a request may still be written with it."""
        return self._now() - permit.asked_at <= PERMIT_GOOD_SECONDS

    async def sent(self, permit: Permit) -> None:
        """Its request has just been written. The time that Redis' answer took to be read counts as late, too."""
        late = self._now() - permit.asked_at
        if late > LATE_SECONDS:
            self._unlearned.append(Sending(permit=permit, at=permit.taken_at + late))
            await self._learn_now()

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        """Learn from the answer: at once if it was a refusal, so that all wait; else with the next permit."""
        self._unlearned.append(Answer(permit=permit, reading=spread(reading), refused=refused))
        if refused or len(self._unlearned) >= LEARNED_AT_ONCE:
            await self._learn_now()

    async def aclose(self) -> None:
        """The connection belongs to whoever gave it."""

    async def _ask(self, *, lane: str, deep: bool, wanted: int, lessons: Sequence[Lesson]) -> tuple[Taken, float]:
        """The answer, and when it was asked on our clock."""
        asked_at = self._now()
        return await self._budget.take(lane=lane, deep=deep, wanted=wanted, lessons=lessons), asked_at

    async def _learn_now(self) -> None:
        await self._patiently(partial(self._budget.learn, self._take_unlearned()))

    def _take_unlearned(self) -> list[Lesson]:
        lessons, self._unlearned = self._unlearned, []
        return lessons

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        begun, pause = self._now(), 0.1
        while True:
            try:
                answer = await ask()
            except (RedisError, OSError) as error:
                trouble = redis_trouble(error) if self._has_answered else await first_trouble(error, self._redis)
                if trouble.is_lasting:
                    raise RedisRefused(trouble.words) from None
                if self._now() - begun > PATIENCE_SECONDS:
                    raise GovernorUnavailable(trouble.words) from None
                await self._sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                self._has_answered = True
                return answer


def _standing_behind_first(line: Sequence[Future[Permit | None]]) -> list[Future[Permit | None]]:
    """Those who wait; one who went away is still in the line until its task runs again."""
    return [place for place in islice(line, 1, None) if not place.done()]


def _told(lesson: Lesson) -> dict[str, float | str]:
    permit = lesson.permit
    if isinstance(lesson, Sending):
        return {"number": permit.number, "lane": permit.lane, "sent_at": lesson.at}
    reading = lesson.reading
    return {
        "deep": int(permit.deep),
        "limit": reading.limit or 0,
        "period": reading.period_seconds or 0,
        "count": -1 if reading.count is None else reading.count,
        "retry_after": (reading.retry_after_seconds or 1.0) if lesson.refused else 0.0,
        "taken_at": permit.taken_at,
    }
