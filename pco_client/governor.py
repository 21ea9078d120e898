"""Sharing out PCO's rate limit: every request takes a permit first, and every answer teaches."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from pco_client.rate_limit import Budget, Grant, RateReading


class GovernorUnavailable(Exception):  # noqa: N818 - named after what was observed
    """The shared budget cannot be reached, so nothing may be sent. Retry later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """The right to send one request now. `taken_at` is on the governor's clock, in seconds.

    `waited_seconds` is how long the budget made this lane stand still for it: permits that queued behind it in the
    same lane do not count that time again.
    """

    taken_at: float
    deep: bool
    waited_seconds: float


class Governor(Protocol):
    """One per credential. `lane` names who asks, for a fair share; `deep` that the offset is above 30,000."""

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        """Wait until a request may be sent. Raises `GovernorUnavailable`."""

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        """Learn from the answer; `refused` says it was a 429."""

    async def aclose(self) -> None:
        """Release what the governor holds."""


class Lanes:
    """Waiters of one lane queue here, so that only the first of them asks for a permit."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    @asynccontextmanager
    async def turn(self, lane: str) -> AsyncIterator[None]:
        """Hold the lane's turn for the block."""
        lock, waiters = self._locks.setdefault(lane, (asyncio.Lock(), []))
        waiters.append(None)
        try:
            async with lock:
                yield
        finally:
            waiters.pop()
            if not waiters:
                self._locks.pop(lane, None)


class ProcessGovernor:
    """The budget of one process; right only if no other process uses the credential at the same time."""

    def __init__(
        self,
        *,
        budget: Budget | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._budget = budget or Budget()
        self._now = now
        self._sleep = sleep
        self._lanes = Lanes()

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        """Wait until a request may be sent."""
        waited = 0.0
        async with self._lanes.turn(lane):
            while not (grant := self._take(lane, deep)).is_granted:
                waited += grant.wait_seconds
                await self._sleep(grant.wait_seconds)
        return Permit(taken_at=self._now(), deep=deep, waited_seconds=waited)

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        """Learn from the answer."""
        self._budget.observe(
            now=self._now(), sent_at=permit.taken_at, deep=permit.deep, reading=spread(reading), refused=refused
        )

    async def aclose(self) -> None:
        """Nothing to release."""

    def _take(self, lane: str, deep: bool) -> Grant:
        return self._budget.take(now=self._now(), lane=lane, deep=deep)


def spread(reading: RateReading) -> RateReading:
    """The same reading with a Retry-After a little later, so that not everybody returns in the same instant."""
    if reading.retry_after_seconds is None:
        return reading
    later = reading.retry_after_seconds + random.uniform(0.05, 0.35)  # noqa: S311 - no secret depends on it
    return RateReading(
        limit=reading.limit,
        period_seconds=reading.period_seconds,
        count=reading.count,
        retry_after_seconds=later,
    )
