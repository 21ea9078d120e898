"""What PCO says about its rate limit, and the arithmetic of staying inside it. Pure: time is an argument.

PCO's default is 100 requests per 20 s per user, 75 at offsets above 30,000, and it may change at any time
(API documentation "rate limiting"; 10 per 20 s were seen at deep offsets, #1449). Whether PCO counts in fixed windows
or in a sliding one is not documented, so we keep inside a sliding window, which keeps inside both.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

DEFAULT_LIMIT: Final = 100
DEFAULT_DEEP_LIMIT: Final = 75
DEFAULT_PERIOD: Final = 20.0
DEEP_OFFSET: Final = 30_000
MARGIN: Final = 0.25
"""Seconds by which our window is longer than PCO's: requests do not all travel equally fast."""
CLAIM_SECONDS: Final = 2.0
"""A lane keeps its claim for so long after its last permit, or after the time it was told to come back."""
CLAIMED_WAIT: Final = 0.05
"""How long to wait for the permits that other lanes have a claim on."""
REMEMBERED_SECONDS: Final = 90.0
"""How long a permit is remembered, to compare it with the count in an answer that took its time."""
LONGEST_WAIT: Final = 300.0
"""How many seconds of a Retry-After are believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateReading:
    """The rate headers of one answer; None where a header is missing."""

    limit: int | None
    period_seconds: int | None
    count: int | None
    retry_after_seconds: float | None


def read_rate(headers: Mapping[str, str]) -> RateReading:
    """Read `X-PCO-API-Request-Rate-*` and `Retry-After` from headers with lower-case names.

    The gateway writes the period as `20 seconds`; a negative Retry-After has been seen (#606) and becomes 1. One of
    hours is not believed: to ask again after `LONGEST_WAIT` costs one request, to wait for nonsense costs the day.
    """
    retry_after = _leading_number(headers.get("retry-after"))
    return RateReading(
        limit=_leading_number(headers.get("x-pco-api-request-rate-limit")),
        period_seconds=_leading_number(headers.get("x-pco-api-request-rate-period")),
        count=_leading_number(headers.get("x-pco-api-request-rate-count")),
        retry_after_seconds=None if retry_after is None else min(max(float(retry_after), 1.0), LONGEST_WAIT),
    )


def _leading_number(text: str | None) -> int | None:
    match = re.match(r"\s*(-?\d{1,9})", text or "")
    return int(match[1]) if match else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """The answer to 'may I send?': yes (`wait_seconds` is 0), or ask again after so many seconds."""

    wait_seconds: float

    @property
    def is_granted(self) -> bool:
        """A permit was taken."""
        return self.wait_seconds <= 0


@dataclass(kw_only=True)
class Budget:
    """The sliding log of one credential: when permits were taken, by which lane, and what PCO said.

    A permit is given when fewer than `limit` were taken in the last `period` (plus margin). Lanes that asked lately and
    have taken less than the asking one have a claim on the last permits, one each, so a backfill cannot starve a delta.
    `govern.lua` is the same arithmetic for many processes; a test holds the two against each other.
    """

    limits: dict[bool, int] = field(default_factory=lambda: {False: DEFAULT_LIMIT, True: DEFAULT_DEEP_LIMIT})
    period: float = DEFAULT_PERIOD
    margin: float = MARGIN
    blocked_until: float = 0.0
    _window: deque[tuple[float, str | None]] = field(default_factory=deque)
    """Permits by the time they were taken; those of other programs have no lane."""
    _past: deque[tuple[float, str | None]] = field(default_factory=deque)
    """Permits that left the window and are remembered."""
    _used: dict[str, int] = field(default_factory=dict)
    _claims: dict[str, float] = field(default_factory=dict)

    def take(self, *, now: float, lane: str, deep: bool) -> Grant:
        """Take a permit if there is one."""
        self._forget(now)
        wait = self._wait(now, lane, deep)
        if wait > 0:
            self._claims[lane] = now + wait + CLAIM_SECONDS
            return Grant(wait_seconds=wait)
        self._window.append((now, lane))
        self._count(lane, 1)
        self._claims[lane] = now + CLAIM_SECONDS
        return Grant(wait_seconds=0.0)

    def observe(self, *, now: float, sent_at: float, deep: bool, reading: RateReading, refused: bool) -> None:
        """Learn from an answer to a request whose permit was taken at `sent_at`.

        If PCO counted more requests in its period than we took permits for, another program uses the credential: the
        difference is added to the log. Permits taken after this one are held to be counted, too, because requests
        overtake each other: while several are on their way, fewer are taken for foreign than there may be.
        """
        if reading.limit is not None and reading.limit > 0:
            self.limits[deep] = reading.limit
        if reading.period_seconds is not None and reading.period_seconds > 0:
            self.period = float(reading.period_seconds)
        if refused:
            self.blocked_until = max(self.blocked_until, now + (reading.retry_after_seconds or 1.0))
        self._forget(now)
        if reading.count is None:
            return
        horizon = sent_at - self.period - self.margin
        ours = len(self._window) + sum(1 for _ in takewhile(lambda one: one[0] > horizon, reversed(self._past)))
        foreign = min(reading.count, self.limits[deep]) - ours
        self._window.extend((now, None) for _ in range(foreign))

    def _wait(self, now: float, lane: str, deep: bool) -> float:
        if now < self.blocked_until:
            return self.blocked_until - now
        limit = min(self.limits.values()) if deep else self.limits[False]
        free = limit - len(self._window)
        if free <= 0:
            frees_up = self._window[len(self._window) - limit][0]
            return max(frees_up + self.period + self.margin - now, 0.001)
        mine = self._used.get(lane, 0)
        claims = sum(
            1
            for other, until in self._claims.items()
            if other != lane and until > now and self._used.get(other, 0) < mine
        )
        return 0.0 if free > claims else CLAIMED_WAIT

    def _forget(self, now: float) -> None:
        horizon = now - self.period - self.margin
        while self._window and self._window[0][0] <= horizon:
            self._past.append(self._window.popleft())
            self._count(self._past[-1][1], -1)
        while self._past and self._past[-1][0] > horizon:  # the period has become longer
            self._window.appendleft(self._past.pop())
            self._count(self._window[0][1], 1)
        while self._past and self._past[0][0] <= now - REMEMBERED_SECONDS:
            self._past.popleft()
        if len(self._claims) > 1:
            self._claims = {lane: until for lane, until in self._claims.items() if until > now}

    def _count(self, lane: str | None, change: int) -> None:
        if lane is not None:
            used = self._used.pop(lane, 0) + change
            if used:
                self._used[lane] = used
