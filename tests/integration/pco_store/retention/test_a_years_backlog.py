"""A church whose ledger nobody has cleared for a year: the first removal is quick, and no sync waits long for it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.removing import remove_what_is_over

DAYS, LISTS, CHILDREN, FULL_PAGES = 365, 10, 300, 200
DELTAS_A_DAY = 24 * 4

LEDGER = """
    WITH told AS (
        SELECT 'list-' || list AS entity, '' AS scope, 'delta' AS mode, 'delta-' || number AS epoch, 0 AS place,
               interval '15 min' * number AS age
        FROM generate_series(1, :lists) AS list, generate_series(1, :deltas) AS number
        UNION ALL
        SELECT 'list-1', '', 'full', 'week-' || number, 1, interval '7 days' * number
        FROM generate_series(1, :weeks) AS number
        UNION ALL
        SELECT 'list-' || list, '', 'full', 'first', 1, interval '1 day' * (:days + 1)
        FROM generate_series(2, :lists) AS list
        UNION ALL
        SELECT CASE place WHEN 2 THEN 'parents' ELSE 'below' END,
               CASE place WHEN 2 THEN '' WHEN 3 THEN '*' ELSE CAST(place - 3 AS text) END, 'full',
               CASE WHEN place > 3 THEN 'below-' ELSE 'night-' END || number, place, interval '1 day' * number
        FROM generate_series(1, :days) AS number, generate_series(2, 3 + :children) AS place
    ),
    numbered AS (
        SELECT *, CAST(:now AS timestamptz) - age AS at, row_number() OVER (ORDER BY age DESC, place, entity) AS run_id,
            row_number() OVER (PARTITION BY entity, scope ORDER BY age DESC, place) AS turn
        FROM told)
    INSERT INTO sync.runs (run_id, org_id, entity, scope, epoch, key, turn, state, mode, fence, owner, lease_until,
        page_size, started_at, completed_at, parent_run_id, fan_out, deletions)
    SELECT run_id, 'grace', entity, scope, epoch, concat_ws(':', 'sync', 'grace', entity, nullif(scope, ''), epoch),
        CASE WHEN place <= 3 THEN turn END, 'completed', mode, 1, 'somebody', at, 100, at, at,
        CASE WHEN place > 3 THEN run_id - (place - 3) END,
        CASE place WHEN 3 THEN CAST('{"below": ["parents"]}' AS jsonb) END,
        CASE WHEN mode = 'full' AND place <= 3 THEN CAST('{"verdict": "none"}' AS jsonb) END
    FROM numbered ORDER BY run_id
"""
"""The children of a fan-out follow it: its number is theirs less their place below it."""

PAGES = """
    INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, stale, misfits,
        quarantined, requests, waited_seconds, ids, digest, fence, committed_at)
    SELECT run_id, 1, page * 100, 100, 30, 0, 0, 30, 0, 0, 0, 1, 0, ARRAY(SELECT generate_series(1, 30)::text), '', 1,
        started_at
    FROM sync.runs, generate_series(1, CASE WHEN epoch LIKE 'week-%' THEN :full_pages ELSE 1 END) AS page
    WHERE scope <> '*' ORDER BY run_id, page
"""

COUNTED = """
    SELECT count(*) FILTER (WHERE mode = 'delta') AS deltas, count(*) FILTER (WHERE epoch LIKE 'week-%') AS fulls,
        count(*) FILTER (WHERE epoch = 'first') AS firsts, count(*) FILTER (WHERE epoch LIKE 'night-%') AS nights,
        count(parent_run_id) AS children, (SELECT count(*) FROM sync.pages) AS pages
    FROM sync.runs
"""


async def fill(database: Database, now: datetime, days: int) -> None:
    """What so many days leave: deltas, nights with a fan-out, first readings, and weekly ones of a large list."""
    numbers = {"days": days, "weeks": days // 7, "deltas": days * DELTAS_A_DAY, "lists": LISTS, "children": CHILDREN}
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO sync.backfills VALUES ('ancestors', 1, now())"))
        await connection.execute(text(LEDGER), {"now": now, **numbers})
        await connection.execute(text(PAGES), {"full_pages": FULL_PAGES})
        await connection.execute(text("ANALYZE sync.runs, sync.pages"))


async def counted(database: Database) -> Mapping[str, int]:
    async with database.transaction() as connection:
        return dict((await connection.execute(text(COUNTED))).mappings().one())


def of_days(days: int) -> Mapping[str, int]:
    """What so many days have left, and the only full readings of most lists, which stay."""
    deltas, fulls, firsts, children = LISTS * days * DELTAS_A_DAY, days // 7, LISTS - 1, CHILDREN * days
    pages = deltas + fulls * FULL_PAGES + firsts + days + children
    return {
        "deltas": deltas, "fulls": fulls, "firsts": firsts, "nights": 2 * days, "children": children, "pages": pages,
    }  # fmt: skip


@pytest.mark.nightly
async def test_a_years_backlog_goes_in_minutes_and_no_transaction_is_long(database: Database) -> None:
    now = datetime.now(UTC)
    await fill(database, now, DAYS)
    assert await counted(database) == of_days(DAYS)
    began = time.monotonic()
    removed = await remove_what_is_over(database, now=now)
    seconds = time.monotonic() - began
    assert await counted(database) == of_days(Lifetimes().turns.days)
    assert seconds <= 600
    assert removed.slowest <= 0.2
    again = await remove_what_is_over(database, now=now)
    assert (again.turns, again.children) == (0, 0)
