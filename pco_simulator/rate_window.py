"""PCO's rate limit for one credential, counted at the server."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

WindowKind = Literal["sliding", "fixed"]
UNLIMITED: Final = 1_000_000
"""What the headers say where there is no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateRules:
    """The limits in force. `limit` None: no limit. `deep_limit` holds for offsets above 30,000, for all that counts.

    `count_refused`: whether a request that was refused uses up the budget, too, as the gateway does it in PCO.
    """

    limit: int | None = None
    period: int = 20
    deep_limit: int = 75
    window: WindowKind = "sliding"
    count_refused: bool = True

    def __post_init__(self) -> None:
        if self.window not in ("sliding", "fixed"):
            raise ValueError(f"unknown rate window {self.window!r}; known: sliding, fixed")
        if self.period < 1 or (self.limit is not None and self.limit < 1) or self.deep_limit < 1:
            raise ValueError("limits and the period are at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the headers say. `retry_after` in seconds is None when the request is served."""

    limit: int
    count: int
    period: int
    retry_after: int | None


class RateWindow:
    """The requests of one credential.

    `most` is the greatest number that ever arrived within one period, refused ones and all: a client's good manners
    are judged by it, whether there is a limit or not.
    """

    def __init__(self) -> None:
        self.most = 0
        self.refused = 0
        self._arrivals: deque[float] = deque()
        self._counted: deque[float] = deque()
        self._began = -math.inf

    def count(self, now: float, rules: RateRules, *, deep: bool) -> Verdict:
        """Count a request that arrives now, in seconds that never go back."""
        oldest = now - rules.period
        _forget(self._arrivals, oldest)
        self._arrivals.append(now)
        self.most = max(self.most, len(self._arrivals))
        if rules.window == "sliding":
            _forget(self._counted, oldest)
        elif now >= self._began + rules.period:
            self._began = now
            self._counted.clear()
        limit = UNLIMITED if rules.limit is None else min(rules.limit, rules.deep_limit) if deep else rules.limit
        count = len(self._counted) + 1
        if count <= limit or rules.count_refused:
            self._counted.append(now)
        if count <= limit:
            return Verdict(limit=limit, count=count, period=rules.period, retry_after=None)
        self.refused += 1
        return Verdict(limit=limit, count=count, period=rules.period, retry_after=self._wait(now, limit, rules))

    def _wait(self, now: float, limit: int, rules: RateRules) -> int:
        """Whole seconds until one request more would be served, if none comes before."""
        begins = self._began if rules.window == "fixed" else self._counted[-min(limit, len(self._counted))]
        return max(math.ceil(begins + rules.period - now), 1)


def _forget(arrivals: deque[float], oldest: float) -> None:
    """A request counts for exactly one period."""
    while arrivals and arrivals[0] <= oldest:
        arrivals.popleft()
