"""PCO's rate limit for one credential, counted at the server."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

WindowKind = Literal["sliding", "fixed"]


@dataclass(kw_only=True)
class RateRules:
    """The limits in force now. None: no limit."""

    limit: int | None = None
    period: int = 20
    deep_limit: int = 75
    kind: WindowKind = "sliding"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the headers say; `retry_after` is None when the request is served."""

    limit: int
    count: int
    retry_after: int | None


@dataclass(kw_only=True)
class RateWindow:
    """Counts every request, refused ones too, in the last `period` seconds or in the current fixed window.

    `most` is the greatest number of requests that ever arrived in one period: what a client's good manners are judged
    by, whether there is a limit or not.
    """

    rules: RateRules
    most: int = 0
    refused: int = 0
    _arrivals: deque[float] = field(default_factory=deque)
    _window_began: float = -math.inf
    _window_count: int = 0

    def count(self, now: float, *, deep: bool) -> Verdict:
        """Count a request that arrives now."""
        rules = self.rules
        while self._arrivals and self._arrivals[0] <= now - rules.period:
            self._arrivals.popleft()
        self._arrivals.append(now)
        self.most = max(self.most, len(self._arrivals))
        if rules.limit is None:
            return Verdict(limit=1_000_000, count=len(self._arrivals), retry_after=None)
        limit = min(rules.limit, rules.deep_limit) if deep else rules.limit
        counted, free_again = self._counted(now)
        if counted <= limit:
            return Verdict(limit=limit, count=counted, retry_after=None)
        self.refused += 1
        return Verdict(limit=limit, count=counted, retry_after=max(math.ceil(free_again - now), 1))

    def _counted(self, now: float) -> tuple[int, float]:
        if self.rules.kind == "sliding":
            return len(self._arrivals), self._arrivals[0] + self.rules.period
        if now >= self._window_began + self.rules.period:
            self._window_began, self._window_count = now, 0
        self._window_count += 1
        return self._window_count, self._window_began + self.rules.period
