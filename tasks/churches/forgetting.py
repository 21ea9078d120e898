"""What stands in Redis of a church: progress, receipts of pages, and the budget of its credential."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

from redis.asyncio import Redis

from pco_client.redis_governor import budget_keys
from tasks.pages.page_ref import PAGES
from tasks.reports.progress import PROGRESS

AT_ONCE: Final = 1000


async def church_keys(
    redis: Redis, org_id: str, identities: Collection[str] = ()
) -> AsyncIterator[Sequence[bytes | str]]:
    """The keys of a church, lot by lot; with the budgets of these credentials, which nobody else is read with.

    Looks at every key of Redis, a thousand at a time. Raises Redis' errors.
    """
    budgets = [key for identity in identities for key in budget_keys(identity)]
    if found := [key for key in budgets if await redis.exists(key)]:
        yield found
    for pattern in (f"{PROGRESS}{org_id}:*", f"{PAGES}{org_id}/*"):
        cursor = 0
        while True:
            cursor, keys = await redis.scan(cursor, match=pattern, count=AT_ONCE)
            if keys:
                yield keys
            if not cursor:
                break


async def forget_in_redis(redis: Redis, org_id: str, identities: Collection[str] = ()) -> int:
    """Delete them; how many there were. Safe to repeat. Raises Redis' errors."""
    gone = 0
    async for keys in church_keys(redis, org_id, identities):
        gone += await redis.unlink(*keys)
    return gone
