"""The budget of one credential, shared by every process through Redis."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pco_client.governor import GovernorUnavailable, Lanes, Permit, spread
from pco_client.rate_limit import (
    CLAIMED_WAIT,
    DEFAULT_DEEP_LIMIT,
    DEFAULT_LIMIT,
    DEFAULT_PERIOD,
    MARGIN,
    REMEMBERED_SECONDS,
    WAITING_SECONDS,
    RateReading,
)

PATIENCE_SECONDS: Final = 30.0
"""How long Redis may be away before a request is given up. Sending without a permit could spend others' budget."""
LEARNED_AT_ONCE: Final = 64


class RedisGovernor:
    """All arithmetic happens in one Lua script, on Redis' clock. Answers are learned from with the next permit.

    Raises `GovernorUnavailable` when Redis is away for longer than `PATIENCE_SECONDS`.
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
        base = f"pco-sync-budget:{{{identity}}}"
        self._keys = [f"{base}:permits", f"{base}:state", f"{base}:waiting", f"{base}:lane:"]
        source = resources.files("pco_client").joinpath("govern.lua").read_text(encoding="utf-8")
        self._script = redis.register_script(source)
        self._settings = [
            margin,
            WAITING_SECONDS,
            CLAIMED_WAIT,
            REMEMBERED_SECONDS,
            DEFAULT_LIMIT,
            DEFAULT_DEEP_LIMIT,
            DEFAULT_PERIOD,
        ]
        self._now = now
        self._sleep = sleep
        self._lanes = Lanes()
        self._unlearned: list[dict[str, float]] = []

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        """Wait until a request may be sent."""
        waited = 0.0
        async with self._lanes.turn(lane):
            while True:
                granted, wait_seconds, taken_at = await self._ask(lane, deep)
                if granted:
                    return Permit(taken_at=taken_at, deep=deep, waited_seconds=waited)
                waited += wait_seconds
                await self._sleep(wait_seconds)

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        """Learn from the answer: at once if it was a refusal, so that all wait; else with the next permit."""
        reading = spread(reading)
        self._unlearned.append(
            {
                "deep": int(permit.deep),
                "limit": reading.limit or 0,
                "period": reading.period_seconds or 0,
                "count": -1 if reading.count is None else reading.count,
                "retry_after": (reading.retry_after_seconds or 1.0) if refused else 0.0,
                "taken_at": permit.taken_at,
            }
        )
        if refused or len(self._unlearned) >= LEARNED_AT_ONCE:
            await self._ask("", permit.deep)

    async def aclose(self) -> None:
        """The connection belongs to whoever gave it."""

    async def _ask(self, lane: str, deep: bool) -> tuple[bool, float, float]:
        learned, self._unlearned = self._unlearned, []
        answers = json.dumps(learned) if learned else ""
        arguments: list[Any] = [lane, int(deep), *self._settings, answers]
        begun, pause = self._now(), 0.1
        while True:
            try:
                granted, wait_seconds, now = await self._script(keys=self._keys, args=arguments)
            except (RedisError, OSError) as error:
                if self._now() - begun > PATIENCE_SECONDS:
                    raise GovernorUnavailable(f"Redis cannot be reached ({type(error).__name__})") from None
                await self._sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return bool(granted), float(wait_seconds), float(now)
