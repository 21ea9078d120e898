"""Reads how current the mirror is: table by table for one church, and in a line for each church."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import ORGANIZATION

NOT_OVER: Final = "its first sync is not over"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFreshness:
    """A row of `sync.freshness`: what is known of one table of one church (docs/freshness.md).

    `freshness` is `current`, `incomplete`, `overdue` or `never_read`.
    """

    entity: str
    table_name: str
    way: str
    freshness: str
    complete_as_of: datetime | None
    changes_seen_until: datetime | None
    lists: int | None
    lists_due: int | None
    oldest_list_read_at: datetime | None
    quarantined: int
    overdue_because: str | None
    last_verdict: str
    last_error: str | None
    last_run_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChurchFreshness:
    """How current a church is: the worst of its tables, those left out that nobody has begun to read.

    `changes_seen_until` is that of the list of which changes were last seen the longest ago, `complete_as_of` the same
    of complete readings; None if one of these was never. `because` says why it is not current, table by table, and what
    its last sync failed with.
    """

    org_id: str
    current: int
    incomplete: int
    overdue: int
    never_read: int
    changes_seen_until: datetime | None
    complete_as_of: datetime | None
    because: tuple[str, ...]

    @property
    def freshness(self) -> str:
        """The word for all of it."""
        if self.overdue or NOT_OVER in self.because:
            return "overdue"
        if self.incomplete:
            return "incomplete"
        return "current" if self.current else "never_read"


async def read_tables(connection: AsyncConnection, org_id: str) -> Sequence[TableFreshness]:
    """Every table of a church, by name; none if nothing of it was ever begun."""
    names = ", ".join(TableFreshness.__dataclass_fields__)
    result = await connection.execute(
        text(f"SELECT {names} FROM sync.freshness WHERE org_id = :org_id ORDER BY entity"),  # noqa: S608 - own names
        {"org_id": org_id},
    )
    return [TableFreshness(**row._mapping) for row in result]


async def read_churches(connection: AsyncConnection, org_id: str | None = None) -> Sequence[ChurchFreshness]:
    """Every church that the ledger knows, or one of them, by name."""
    result = await connection.execute(
        text(
            """
            SELECT org_id, count(*) FILTER (WHERE freshness = 'current') AS current,
                   count(*) FILTER (WHERE freshness = 'incomplete') AS incomplete,
                   count(*) FILTER (WHERE freshness = 'overdue') AS overdue,
                   count(*) FILTER (WHERE freshness = 'never_read') AS never_read,
                   CASE WHEN bool_and(changes_seen_until IS NOT NULL) FILTER (WHERE is_list)
                       THEN min(changes_seen_until) FILTER (WHERE is_list) END AS changes_seen_until,
                   CASE WHEN bool_and(complete_as_of IS NOT NULL) FILTER (WHERE is_list)
                       THEN min(complete_as_of) FILTER (WHERE is_list) END AS complete_as_of,
                   array_agg(entity || ': ' || concat_ws('; ', overdue_because, last_error))
                       FILTER (WHERE freshness IN ('overdue', 'incomplete')) AS because,
                   (SELECT bool_or(run.state IN ('running', 'failed', 'cancelled')
                                   AND (run.mode = 'full' OR NOT is_any_over)) AND NOT bool_or(is_all_begun)
                    FROM (SELECT run.*, bool_or(run.state = 'completed') OVER () AS is_any_over,
                                 run.state = 'completed' AND (run.mode = 'full' OR coalesce(run.parts ? 'due', false))
                                     AS is_all_begun
                          FROM sync.runs AS run WHERE run.org_id = table_of.org_id
                            AND run.entity = :church AND run.scope = '') AS run) AS is_first,
                   (SELECT CASE WHEN run.state <> 'completed' THEN run.error END FROM sync.runs AS run
                    WHERE run.org_id = table_of.org_id AND run.entity = :church AND run.scope = ''
                      AND run.state <> 'closed' ORDER BY run.turn DESC LIMIT 1) AS error
            FROM (SELECT *, freshness <> 'never_read' AND way IN ('delta', 'full') AS is_list FROM sync.freshness
                  WHERE CAST(:org_id AS text) IS NULL OR org_id = :org_id) AS table_of
            GROUP BY org_id ORDER BY org_id
            """
        ),
        {"org_id": org_id, "church": ORGANIZATION},
    )
    return [
        ChurchFreshness(
            org_id=row.org_id,
            current=row.current,
            incomplete=row.incomplete,
            overdue=row.overdue,
            never_read=row.never_read,
            changes_seen_until=row.changes_seen_until,
            complete_as_of=row.complete_as_of,
            because=_reasons(row),
        )
        for row in result
    ]


def _reasons(row: Row[Any]) -> tuple[str, ...]:
    """An error of a church that is current all the same is no reason."""
    found = (*([NOT_OVER] if row.is_first else []), *sorted(row.because or ()))
    return (*found, f"its last sync has not ended: {row.error}") if found and row.error else found
