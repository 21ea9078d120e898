"""What Prefect was told of how current each church is: so that a change is told once, whichever worker sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.freshness.reading import ChurchFreshness, read_churches

LOOK_SECONDS: Final = 300
REPEAT_SECONDS: Final = 1800
"""What is well is told again so often; if nobody tells it any more, nobody is at work."""
EVERYBODY: Final = "*"
"""Stands where a church is due, for when somebody looked last. No church is called so."""
OVERDUE: Final = "overdue"
UNSCHEDULED: Final = "unscheduled"
"""A church that schedules leave out from now on: paused, removed, or without a block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """What is to be told of one church: how current it is, since when that is so, and its numbers."""

    church: ChurchFreshness
    freshness: str
    since: datetime


async def claim_look(connection: AsyncConnection) -> bool:
    """Whether it is time to look, and nobody else does; in a transaction of its own."""
    claimed = await connection.scalar(
        text(
            """
            INSERT INTO sync.announced AS told (org_id, freshness, since, announced_at)
            VALUES (:everybody, '', now(), now())
            ON CONFLICT (org_id) DO UPDATE SET announced_at = now()
            WHERE told.announced_at < now() - make_interval(secs => :seconds)
            RETURNING true
            """
        ),
        {"everybody": EVERYBODY, "seconds": LOOK_SECONDS},
    )
    return bool(claimed)


async def claim_announcements(connection: AsyncConnection, org_ids: Sequence[str]) -> list[Announcement]:
    """What is to be told of these churches now: what has changed, and what is well and was not told for a while.

    A church of which nothing was read is overdue. Others that were told of are told once more, as unscheduled, and
    nothing of them is kept. What is claimed and then lost with its process is told at the next change, or with the
    next repetition.
    """
    found = {one.org_id: one for one in await read_churches(connection)}
    churches = {org_id: found.get(org_id) or nothing_read(org_id) for org_id in org_ids}
    left = await connection.execute(
        text("DELETE FROM sync.announced WHERE org_id <> ALL(CAST(:known AS text[])) RETURNING org_id, now() AS since"),
        {"known": [*org_ids, EVERYBODY]},
    )
    told: Mapping[str, str] = {org_id: word_of(one) for org_id, one in churches.items()}
    result = await connection.execute(
        text(
            """
            INSERT INTO sync.announced AS told (org_id, freshness, since, announced_at)
            SELECT org_id, freshness, now(), now()
            FROM unnest(CAST(:org_ids AS text[]), CAST(:words AS text[])) AS new (org_id, freshness)
            ON CONFLICT (org_id) DO UPDATE SET freshness = excluded.freshness, announced_at = now(),
                since = CASE WHEN told.freshness = excluded.freshness THEN told.since ELSE now() END
            WHERE told.freshness <> excluded.freshness
               OR (told.freshness <> :overdue AND told.announced_at < now() - make_interval(secs => :seconds))
            RETURNING org_id, freshness, since
            """
        ),
        {"org_ids": list(told), "words": list(told.values()), "overdue": OVERDUE, "seconds": REPEAT_SECONDS},
    )
    return [
        *(unscheduled(row.org_id, since=row.since) for row in left),
        *(Announcement(church=churches[row.org_id], freshness=row.freshness, since=row.since) for row in result),
    ]


def unscheduled(org_id: str, *, since: datetime) -> Announcement:
    """Nobody waits for news of this church any more."""
    return Announcement(church=nothing_read(org_id), freshness=UNSCHEDULED, since=since)


def word_of(church: ChurchFreshness) -> str:
    """`current`, `incomplete` or `overdue`; of what was never read nothing is current."""
    return OVERDUE if church.freshness == "never_read" else church.freshness


def nothing_read(org_id: str) -> ChurchFreshness:
    """A church that the ledger does not know."""
    return ChurchFreshness(
        org_id=org_id,
        current=0,
        incomplete=0,
        overdue=0,
        never_read=0,
        changes_seen_until=None,
        complete_as_of=None,
        because=("nothing of it was read yet",),
    )
