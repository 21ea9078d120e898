"""A church's night: what of its budget is left for lists below parents, and for records that are asked for by id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import ORGANIZATION, sync_key
from pco_store.ledger.run_facts import RunFacts

ASIDE: Final = 50
"""One in so many requests of a budget is for what nobody knows before: lists that grew, records asked for by id."""
LEAST_ASIDE: Final = 100
"""And at least so many, which a small church takes as well; of a budget below four times that a quarter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """How a night was planned: its `budget`, what of it the `probes` took, the `shares` of kinds, by entity.

    `spare` was to be left; less than nothing, where the list that waits longest is larger than the budget.
    """

    budget: int
    probes: int
    shares: Mapping[str, int]
    spare: int

    def left(self, facts: Sequence[RunFacts]) -> int:
        """What its epoch has not sent, and fan-outs that are under way will not send for their lists."""
        sent = self.probes + sum(one.sent for one in facts)
        coming = sum(
            max(one.most_requests - one.sent, 0) for one in facts if one.is_fan_out and one.state != "completed"
        )
        return self.budget - sent - coming

    def share(self, entity: str, facts: Sequence[RunFacts]) -> int:
        """Of the requests that a kind was to have, those that it gets now that so much was sent.

        What was sent beyond the plan, but for half of what was kept aside for that, all kinds that have not begun lack
        by the same factor. One that has begun keeps what it was begun with.
        """
        share = self.shares.get(entity, 0)
        begun = {one.entity for one in facts if one.is_fan_out}
        if entity in begun or not share:
            return share
        waiting = sum(requests for name, requests in self.shares.items() if name not in begun)
        aside = kept_aside(self.budget)
        lacking = max(min(self.spare, aside) - aside // 2 - (self.left(facts) - waiting), 0)
        return -(-share * max(waiting - lacking, 0) // waiting)


def kept_aside(budget: int) -> int:
    """What of a budget is kept for what nobody knows before."""
    return max(budget // ASIDE, min(LEAST_ASIDE, budget // 4))


async def read_night(connection: AsyncConnection, org_id: str, epoch: str, *, is_locked: bool = False) -> Night | None:
    """The night of this epoch; None if it is none, or was not planned yet.

    `is_locked` until the transaction ends: nobody else reserves requests meanwhile.
    """
    lock = "FOR NO KEY UPDATE" if is_locked else ""
    found = await connection.execute(
        text(f"SELECT parts FROM sync.runs WHERE key = :key AND parts ? 'budget' {lock}"),  # noqa: S608 - own constants
        {"key": sync_key(org_id, ORGANIZATION, epoch, "")},
    )
    parts = found.scalar_one_or_none()
    if parts is None:
        return None
    return Night(budget=parts["budget"], probes=parts["probes"], shares=parts["due"], spare=parts["spare"])
