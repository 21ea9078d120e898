"""Sharing out PCO's rate limit: every request takes a permit first, and every answer teaches."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from pco_client.rate_limit import PERMIT_GOOD_SECONDS, Budget, RateReading


class GovernorUnavailable(Exception):  # noqa: N818 - named after what was observed
    """The shared budget cannot be reached, so nothing may be sent. Retry later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """The right to send one request now: number `number` of its credential.

    `taken_at` is on the budget's clock, in seconds; `asked_at` on this process's, just before. `waited_seconds` is how
    long the budget made this lane stand still for it: permits that queued behind it in the same lane do not count that
    time again.
    """

    number: int
    lane: str
    deep: bool
    taken_at: float
    asked_at: float
    waited_seconds: float


class Governor(Protocol):
    """One per credential. `lane` names who asks, for a fair share; `deep` that the offset is above 30,000."""

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        """Wait until a request may be sent. Raises `GovernorUnavailable`."""

    def is_good(self, permit: Permit) -> bool:
        """Whether a request may still be written with it; if not, it needs another."""

    async def sent(self, permit: Permit) -> None:
        """Its request has just been written. Between the permit and that lie connections, handshakes, a busy CPU."""

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
            while True:
                now = self._now()
                grant = self._budget.take(now=now, lane=lane, deep=deep)
                if grant.is_granted:
                    return Permit(
                        number=grant.number, lane=lane, deep=deep, taken_at=now, asked_at=now, waited_seconds=waited
                    )
                waited += grant.wait_seconds
                await self._sleep(grant.wait_seconds)

    def is_good(self, permit: Permit) -> bool:
        """Whether a request may still be written with it."""
        return self._now() - permit.asked_at <= PERMIT_GOOD_SECONDS

    async def sent(self, permit: Permit) -> None:
        """Its request has just been written."""
        self._budget.sent(number=permit.number, at=self._now())

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        """Learn from the answer."""
        self._budget.observe(
            now=self._now(), taken_at=permit.taken_at, deep=permit.deep, reading=spread(reading), refused=refused
        )

    async def aclose(self) -> None:
        """Nothing to release."""


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
