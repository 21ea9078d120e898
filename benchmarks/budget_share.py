"""How much of PCO's rate limit was used, by the simulator's access log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = 100
PERIOD_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class BudgetShare:
    """Two views, both from the arrival of the first request, as shares of 1.

    `answered`: requests that were answered for certain in the first windows, of all that the limit allows in these.
    `in_the_long_run`: the time after which the limit lets the request after those through, as a share of the time after
    which it came; this one cannot profit from where the windows end.
    """

    answered: float
    in_the_long_run: float


def budget_share(log: Sequence[Mapping[str, Any]], *, windows: int, longest_answer_seconds: float) -> BudgetShare:
    """Of the first `windows` times 20 s. A request that never came counts as infinitely late."""
    allowed, length = windows * LIMIT, windows * PERIOD_SECONDS
    began = log[0]["at"]
    answered = sum(1 for one in log if one["status"] == 200 and one["at"] + longest_answer_seconds <= began + length)
    took = log[allowed]["at"] - began if len(log) > allowed else float("inf")
    return BudgetShare(answered=answered / allowed, in_the_long_run=length / took)
