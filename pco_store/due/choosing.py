"""Chooses the lists of a night: those that wait longest for their turn, measured in their own periods, in a budget.

A list that should be read daily and is a day late is as late as one that should be read once in 14 days and is 14 days
late. So where a budget is too small for all, each kind is read less often by the same factor, and none starves; only
rare kinds wait until nothing else is due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.due.lists import DueKind, parents_of

_EXPECTED: Final = """
    WITH typical AS (
        SELECT path, avg(requests) AS requests FROM sync.lists
        WHERE org_id = :org_id AND last_read_at IS NOT NULL GROUP BY path),
    expected AS (
        SELECT list.entity, path, scope, due_at, pace_seconds,
            CASE WHEN last_read_at IS NULL THEN coalesce(typical.requests, 1) ELSE list.requests END AS requests
        FROM sync.lists AS list LEFT JOIN typical USING (path) WHERE org_id = :org_id AND due_at <= :now)
"""
"""What is due, with the requests that a list took the last time; one that was never read is like those of its kind."""

_FIRST: Final = "extract(epoch FROM CAST(:now AS timestamptz) - due_at) / pace_seconds DESC, pace_seconds, scope"


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What a night reads of one kind: so many `lists`, and so many `requests` as these are expected to take."""

    lists: int
    requests: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Lists that should have been read by now: how many, how many of them never were, and for how long one waits.

    `unread` are those that nobody has read either and that are due later, by entity; `until_all` is until the last one.
    """

    lists: int = 0
    never_read: int = 0
    longest: timedelta = timedelta()
    unread: Mapping[str, int] = field(default_factory=dict)
    until_all: timedelta = timedelta()


async def share_night(
    connection: AsyncConnection, org_id: str, kinds: Sequence[DueKind], *, now: datetime, budget: int
) -> dict[str, Share]:
    """What of the budget goes to each kind, by entity; kinds of which nothing is read are left out.

    A list is begun if the budget has room for all of it, for half a list proves nothing; the one that waits longest if
    anything of the budget is left, or one that is larger than any night would keep all others from being read.
    """
    if budget <= 0:
        return {}
    result = await connection.execute(
        text(
            f"""
            {_EXPECTED}
            SELECT entity, count(*) AS lists, ceil(sum(requests)) AS requests FROM (
                SELECT entity, requests, sum(requests) OVER (
                    ORDER BY kind.is_rare, {_FIRST}, path ROWS UNBOUNDED PRECEDING) AS spent
                FROM expected
                JOIN unnest(CAST(:paths AS text[]), CAST(:rare AS boolean[])) AS kind (path, is_rare) USING (path))
                AS due
            WHERE spent <= :budget OR spent = requests GROUP BY entity
            """  # noqa: S608 - own constant
        ),
        {"org_id": org_id, "now": now, "budget": budget, **_kinds(kinds)},
    )
    return {row.entity: Share(lists=row.lists, requests=int(row.requests)) for row in result}


async def choose_lists(
    connection: AsyncConnection, org_id: str, kind: DueKind, *, now: datetime, budget: int
) -> tuple[str, ...]:
    """The scopes of the lists of one kind that are read for so many requests, in their order; the first in any case."""
    result = await connection.execute(
        text(
            f"""
            {_EXPECTED}
            SELECT scope FROM (
                SELECT scope, requests, sum(requests) OVER (ORDER BY {_FIRST} ROWS UNBOUNDED PRECEDING) AS spent
                FROM expected WHERE path = :path) AS due
            WHERE spent <= :budget OR spent = requests ORDER BY spent
            """  # noqa: S608 - own constant
        ),
        {"org_id": org_id, "path": kind.path, "now": now, "budget": budget},
    )
    return tuple(result.scalars())


async def all_lists(connection: AsyncConnection, org_id: str, kind: DueKind, *, now: datetime) -> tuple[str, ...]:
    """The scopes of all lists of one kind, those that wait longest first."""
    result = await connection.execute(
        text(
            f"SELECT scope FROM sync.lists WHERE org_id = :org_id AND path = :path ORDER BY {_FIRST}"  # noqa: S608
        ),
        {"org_id": org_id, "path": kind.path, "now": now},
    )
    return tuple(result.scalars())


async def wanted_lists(connection: AsyncConnection, org_id: str, kind: DueKind, *, now: datetime) -> tuple[str, ...]:
    """The scopes of the lists of one kind that a full sync wants, and of those that are due, as `all_lists`."""
    result = await connection.execute(
        text(
            f"""
            WITH moment AS (SELECT CAST(:now AS timestamptz) AS now), parent AS ({parents_of(kind)})
            SELECT scope FROM sync.lists LEFT JOIN parent USING (scope)
            WHERE org_id = :org_id AND path = :path AND (is_wanted OR due_at <= :now) ORDER BY {_FIRST}
            """  # noqa: S608 - own constants, names from the catalogue
        ),
        {"org_id": org_id, "path": kind.path, "now": now},
    )
    return tuple(result.scalars())


async def waiting_lists(
    connection: AsyncConnection, org_id: str, kinds: Sequence[DueKind], *, now: datetime
) -> Waiting:
    """What should have been read by now and was not, and what was never read at all."""
    result = await connection.execute(
        text(
            """
            SELECT entity, count(*) FILTER (WHERE is_due) AS lists,
                count(*) FILTER (WHERE is_due AND is_unread) AS never_read,
                CAST(:now AS timestamptz) - min(due_at) FILTER (WHERE is_due) AS longest,
                count(*) FILTER (WHERE is_unread AND NOT is_due) AS unread,
                max(due_at) FILTER (WHERE is_unread AND NOT is_due) - CAST(:now AS timestamptz) AS until_all
            FROM sync.lists
            CROSS JOIN LATERAL (SELECT due_at <= :now AS is_due, last_read_at IS NULL AS is_unread) AS so
            WHERE org_id = :org_id AND path = ANY(CAST(:paths AS text[])) AND (is_due OR is_unread) GROUP BY entity
            """
        ),
        {"org_id": org_id, "now": now, "paths": [kind.path for kind in kinds]},
    )
    found = result.all()
    return Waiting(
        lists=sum(one.lists for one in found),
        never_read=sum(one.never_read for one in found),
        longest=max((one.longest for one in found if one.longest is not None), default=timedelta()),
        unread={one.entity: one.unread for one in found if one.unread},
        until_all=max((one.until_all for one in found if one.until_all is not None), default=timedelta()),
    )


def _kinds(kinds: Sequence[DueKind]) -> Mapping[str, object]:
    return {"paths": [kind.path for kind in kinds], "rare": [kind.rule.is_rare for kind in kinds]}
