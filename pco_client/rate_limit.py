"""What PCO says about its rate limit, and the arithmetic of staying inside it. Pure: time is an argument.

PCO's default is 100 requests per 20 s per user, 75 at offsets above 30,000, and it may change at any time
(API documentation "rate limiting"; 10 per 20 s were seen at deep offsets, #1449). Whether PCO counts in fixed windows
or in a sliding one is not documented, so we keep inside a sliding window, which keeps inside both.
"""

import re
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Final

DEFAULT_LIMIT: Final = 100
DEFAULT_DEEP_LIMIT: Final = 75
DEFAULT_PERIOD: Final = 20.0
DEEP_OFFSET: Final = 30_000
MARGIN: Final = 0.25
"""Seconds by which our window is longer than PCO's: requests do not all travel equally fast once written."""
CLAIM_SECONDS: Final = 2.0
"""A lane keeps its claim for so long after its last permit, or after the time it was told to come back."""
CLAIMED_WAIT: Final = 0.05
"""How long to wait for the permits that other lanes have a claim on."""
REMEMBERED_SECONDS: Final = 90.0
"""How long a permit is remembered, to compare it with the count in an answer that took its time."""
LATE_SECONDS: Final = 0.05
"""A request that is written so soon after its permit was taken needs no correction: the margin has room for it."""
PERMIT_GOOD_SECONDS: Final = 15.0
"""A permit that is older is not used any more, so that none leaves the window with its request yet to be written."""
LONGEST_WAIT: Final = 300.0
"""How many seconds of a Retry-After are believed."""
LONGEST_PERIOD: Final = 300
"""How many seconds of a period are believed; a longer one would stop everything for as long."""
GREATEST_LIMIT: Final = 100_000
"""More requests in a period cannot be sent; a fake without a limit says a million."""
GREATEST_COUNT: Final = 10_000
"""A greater count is not believed: it is no request that anybody sent."""
MOST_FOREIGN: Final = 1000
"""Of what other programs have sent, so much is added to the log at once. Whoever is that far ahead is told by a 429."""


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
    A number that cannot be is None: what was known before stays.
    """
    limit = _leading_number(headers.get("x-pco-api-request-rate-limit"))
    period = _leading_number(headers.get("x-pco-api-request-rate-period"))
    count = _leading_number(headers.get("x-pco-api-request-rate-count"))
    retry_after = _leading_number(headers.get("retry-after", "")[:20])  # a longer one is beyond the bound, too
    return RateReading(
        limit=None if limit is None or limit < 1 else min(limit, GREATEST_LIMIT),
        period_seconds=None if period is None or not 1 <= period <= LONGEST_PERIOD else period,
        count=None if count is None or not 0 <= count <= GREATEST_COUNT else count,
        retry_after_seconds=None if retry_after is None else min(max(float(retry_after), 1.0), LONGEST_WAIT),
    )


def _leading_number(text: str | None) -> int | None:
    """The whole number with which a header begins; the first one of several. `1e6` and `0x64` are none."""
    match = re.match(r"\s*([+-]?\d{1,20})(?:\.\d*)?(?![\w.])", text or "", flags=re.ASCII)
    return int(match[1]) if match else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """The answer to 'may I send?': yes (`wait_seconds` is 0), or ask again after so many seconds."""

    wait_seconds: float
    number: int = 0
    """Which permit was taken."""

    @property
    def is_granted(self) -> bool:
        """A permit was taken."""
        return self.wait_seconds <= 0


@dataclass(kw_only=True)
class Budget:
    """The sliding log of one credential: the time, number and lane of its permits, and what PCO said.

    A permit is given when fewer than `limit` count in the last `period` (plus margin). Lanes that asked lately and
    have taken less than the asking one have a claim on the last permits, one each, so a backfill cannot starve a delta.
    `govern.lua` is the same arithmetic for many processes; a test holds the two against each other.
    """

    limits: dict[bool, int] = field(default_factory=lambda: {False: DEFAULT_LIMIT, True: DEFAULT_DEEP_LIMIT})
    period: float = DEFAULT_PERIOD
    margin: float = MARGIN
    blocked_until: float = 0.0
    _log: list[tuple[float, int, str | None]] = field(default_factory=list)
    """By time, as long as remembered; requests of other programs have no lane."""
    _taken: int = 0
    _claims: dict[str, float] = field(default_factory=dict)
    _deep: tuple[str, float] = ("", 0.0)
    """The lane that asked for a deep permit last, and until when its claim stands."""

    def take(self, *, now: float, lane: str, deep: bool) -> Grant:
        """Take a permit if there is one."""
        self._forget(now)
        wait = self._wait(now, lane, deep)
        self._claims[lane] = now + wait + CLAIM_SECONDS
        if deep:
            self._deep = (lane, self._claims[lane])
        return Grant(wait_seconds=wait) if wait > 0 else Grant(wait_seconds=0.0, number=self._add(now, lane))

    def sent(self, *, number: int, at: float) -> None:
        """The request of permit `number` was written at `at`: that is when PCO counts it. Times only move on.

        Until this is told, a permit counts from when it was taken. So no window of PCO's holds more than the limit
        as long as a request is written, and that is told, before its permit leaves our window.
        """
        for place in reversed(range(len(self._log))):
            before, other, lane = self._log[place]
            if other == number:
                if at > before:
                    del self._log[place]
                    insort(self._log, (at, number, lane))
                return

    def observe(self, *, now: float, taken_at: float, deep: bool, reading: RateReading, refused: bool) -> None:
        """Learn from an answer to a request whose permit was taken at `taken_at`.

        If PCO counted more requests in its period than we took permits for, another program uses the credential: the
        difference is added to the log. Permits taken after this one are held to be counted, too, because requests
        overtake each other: while several are on their way, fewer are taken for foreign than there may be. No
        more than `MOST_FOREIGN` are added at once.
        """
        if reading.limit is not None and reading.limit > 0:
            self.limits[deep] = reading.limit
        if reading.period_seconds is not None and reading.period_seconds > 0:
            self.period = float(reading.period_seconds)
        if refused:
            self.blocked_until = max(self.blocked_until, now + (reading.retry_after_seconds or 1.0))
        if reading.count is not None:
            ours = len(self._log) - self._window_start(taken_at)
            for _ in range(min(reading.count, self.limits[deep], ours + MOST_FOREIGN) - ours):
                self._add(now, None)
        self._forget(now)

    def _wait(self, now: float, lane: str, deep: bool) -> float:
        if now < self.blocked_until:
            return self.blocked_until - now
        start = self._window_start(now)
        is_held = deep or self._makes_room_for_deep(now, lane, start)
        limit = min(self.limits.values()) if is_held else self.limits[False]
        free = limit - (len(self._log) - start)
        if free <= 0:
            return max(self._log[-limit][0] + self.period + self.margin - now, 0.001)
        others = [other for other, until in self._claims.items() if other != lane and until > now]
        if free > len(others):
            return 0.0
        used = Counter(one[2] for one in islice(self._log, start, None))
        return 0.0 if free > sum(used[other] < used[lane] for other in others) else CLAIMED_WAIT

    def _makes_room_for_deep(self, now: float, lane: str, start: int) -> bool:
        """Whether another lane that waits for a deep permit has fewer than this one, which would leave it none."""
        other, until = self._deep
        if other == lane or until <= now:
            return False
        used = Counter(one[2] for one in islice(self._log, start, None))
        return used[other] < used[lane]

    def _add(self, at: float, lane: str | None) -> int:
        self._taken += 1
        insort(self._log, (at, self._taken, lane))
        return self._taken

    def _window_start(self, now: float) -> int:
        """The place in the log of the first permit that counts."""
        return bisect_right(self._log, now - self.period - self.margin, key=itemgetter(0))

    def _forget(self, now: float) -> None:
        forgotten = now - max(REMEMBERED_SECONDS, self.period + self.margin)
        del self._log[: bisect_right(self._log, forgotten, key=itemgetter(0))]
        if len(self._claims) > 1:
            self._claims = {lane: until for lane, until in self._claims.items() if until > now}
