"""What was asked of the API, for tests to read."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """One request. `n` counts from 1; `at` is seconds since the start; status 0: it was never answered.

    `fault` is the kind of fault that it met, or ''.
    """

    n: int
    at: float
    path: str
    query: str
    offset: int
    per_page: int
    status: int
    credential: str
    user_agent: str
    version: str
    fault: str


class AccessLog:
    """Every request since the start, or since `clear`."""

    def __init__(self) -> None:
        self.entries: list[Access] = []

    @property
    def next_number(self) -> int:
        """The number of the request to come."""
        return len(self.entries) + 1

    def by_status(self) -> dict[str, int]:
        """How many requests ended with each status."""
        return {str(status): count for status, count in sorted(Counter(one.status for one in self.entries).items())}

    def clear(self) -> None:
        """Forget everything; numbers start at 1 again."""
        self.entries.clear()
