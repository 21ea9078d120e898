"""Fills ancestors and links of what was mirrored before there were any, from the ledger: no request is sent.

The pages of earlier fan-outs hold the ids of their records, and the runs' scopes the ids of their parents. Runs are
taken newest first, so what is filled once is the latest that is known. Each step is a statement of its own over a few
hundred rows; it waits for no lock, and what a sync is writing meanwhile is tried again. How far it came is kept, so it
can be interrupted and continued, and repeated.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Level, level_of_list
from pco_store.churches.wall import refuse_removed
from pco_store.database import Database
from pco_store.errors import ChurchRemoved
from pco_store.ledger.openings import FAN_OUT_SCOPE
from pco_store.mirror.links import SharedList, insert_links, shared_list
from pco_store.mirror.tables import mirror_table, quoted_name
from pco_store.mirror.upsert import fetch
from pco_store.mirror.upsert_rules import told_columns

NAME: Final = "ancestors"
RUNS_AT_A_TIME: Final = 500
FEWEST_ROWS: Final = 50
MOST_ROWS: Final = 2000
QUICK_SECONDS: Final = 0.02
SLOW_SECONDS: Final = 0.05
"""Rows are locked as long as a statement takes: one that took longer makes the next ones smaller."""
LOCKED_SECONDS: Final = 0.05
"""How long rows that somebody is writing are left alone before they are tried again."""

_ROW_BY_ROW: Final = """
    SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('synchronous_commit', 'off', true)
"""
"""A few hundred rows are looked up by their keys. Postgres, which knows nothing yet of a column that is new, takes the
whole table to be cheaper. And no commit waits for the disk: what is lost with the machine before the progress is
written is filled again."""

_QUOTE = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


@dataclass(kw_only=True, slots=True)
class Filled:
    """How far it came: `runs` of `all_runs` are looked at; `rows` got an ancestor, and so many `links` are new.

    `slowest` is the longest statement that held locks, in seconds.
    """

    all_runs: int
    runs: int = 0
    rows: int = 0
    links: int = 0
    slowest: float = 0.0
    at_a_time: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _ListedPage:
    """A page of a list below parents. `is_latest`: no complete reading of this list has come after it."""

    run_id: int
    org_id: str
    level: Level
    scope: str
    ids: Sequence[str]
    shown_at: datetime
    is_latest: bool


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Rows of a church to be filled in the same columns: the values by the rows' ids, and by the columns."""

    org_id: str
    table: Table
    columns: tuple[str, ...]
    values: dict[str, Mapping[str, str]] = field(default_factory=dict)


async def fill_ancestors(database: Database, report: Callable[[Filled], None] = lambda _: None) -> Filled:
    """Fill what is empty, from where an earlier call stopped; when all is done it does nothing. Safe to repeat.

    `report` is called after every step. Raises `StoreUnavailable`, and the other errors of the store.
    """
    async with database.transaction() as connection:
        next_run_id = await _begin(connection)
        filled = Filled(all_runs=await _count_runs(connection, next_run_id))
    while next_run_id is not None:
        async with database.transaction() as connection:
            run_ids = await _next_runs(connection, next_run_id)
            pages = await _pages_of(connection, run_ids)
        for rows in _rows_of(pages):
            await _fill_rows(database, rows, filled)
        for page in pages:
            at = shared_list(page.level.entity, page.level.path, org_id=page.org_id, scope=page.scope)
            if at is not None and page.is_latest:
                await _fill_links(database, page, at, filled)
        filled.runs += len(run_ids)
        next_run_id = min(run_ids, default=None)
        async with database.transaction() as connection:
            await _note_progress(connection, next_run_id)
        report(filled)
    return filled


async def _begin(connection: AsyncConnection) -> int | None:
    """Before which run it goes on; None if it has been done. What comes later needs no filling."""
    await connection.execute(
        text(
            "INSERT INTO sync.backfills (name, next_run_id) SELECT :name, coalesce(max(run_id), 0) + 1 FROM sync.runs "
            "ON CONFLICT DO NOTHING"
        ),
        {"name": NAME},
    )
    found = await connection.execute(
        text("SELECT next_run_id FROM sync.backfills WHERE name = :name AND completed_at IS NULL"), {"name": NAME}
    )
    next_run_id: int | None = found.scalar_one_or_none()
    return next_run_id


async def _count_runs(connection: AsyncConnection, next_run_id: int | None) -> int:
    return int(
        await connection.scalar(
            text("SELECT count(*) FROM sync.runs WHERE run_id < :next AND scope NOT IN ('', :fan_out)"),
            {"next": next_run_id or 0, "fan_out": FAN_OUT_SCOPE},
        )
        or 0
    )


async def _next_runs(connection: AsyncConnection, before: int) -> list[int]:
    found = await connection.execute(
        text(
            "SELECT run_id FROM sync.runs WHERE run_id < :before AND scope NOT IN ('', :fan_out) "
            "ORDER BY run_id DESC LIMIT :limit"
        ),
        {"before": before, "fan_out": FAN_OUT_SCOPE, "limit": RUNS_AT_A_TIME},
    )
    return list(found.scalars())


async def _pages_of(connection: AsyncConnection, run_ids: Sequence[int]) -> list[_ListedPage]:
    """The pages of these runs, newest run first; those whose list the catalogue does not know are left out."""
    found = await connection.execute(
        text(
            """
            SELECT run.run_id, run.org_id, run.entity, run.scope, root.entity AS final_entity,
                root.fan_out -> 'below' AS below, page.ids, page.committed_at,
                NOT EXISTS (
                    SELECT FROM sync.runs AS newer LEFT JOIN sync.runs AS its_root
                        ON its_root.run_id = newer.parent_run_id
                    WHERE newer.org_id = run.org_id AND newer.entity = run.entity AND newer.scope = run.scope
                        AND newer.run_id > run.run_id AND newer.state = 'completed'
                        AND its_root.entity IS NOT DISTINCT FROM root.entity
                        AND its_root.fan_out -> 'below' IS NOT DISTINCT FROM root.fan_out -> 'below') AS is_latest
            FROM sync.runs AS run JOIN sync.pages AS page USING (run_id)
            LEFT JOIN sync.runs AS root ON root.run_id = run.parent_run_id
            WHERE run.run_id = ANY (CAST(:run_ids AS bigint[])) AND cardinality(page.ids) > 0
            ORDER BY run.run_id DESC
            """
        ),
        {"run_ids": list(run_ids)},
    )
    pages = []
    for row in found:
        level = _level_of(row.entity, row.final_entity, row.below and tuple(row.below))
        if level is None or level.depth != row.scope.count("/") + 1:
            continue
        pages.append(
            _ListedPage(
                run_id=row.run_id,
                org_id=row.org_id,
                level=level,
                scope=row.scope,
                ids=row.ids,
                shown_at=row.committed_at,
                is_latest=row.is_latest,
            )
        )
    return pages


@lru_cache(maxsize=1024)
def _level_of(entity: str, final_entity: str | None, below: tuple[str, ...] | None) -> Level | None:
    catalog = load_catalog()
    known = catalog.by_name.get(entity)
    return None if known is None else level_of_list(catalog, known, final_entity=final_entity, below=below)


def _rows_of(pages: Sequence[_ListedPage]) -> list[_Rows]:
    """What the pages tell of their records; of one that is on several pages, what the newest tells."""
    found: dict[tuple[str, str, tuple[str, ...]], _Rows] = {}
    for page in pages:
        table = mirror_table(page.level.entity)
        told = told_columns(table)
        values = {f"{name}_id": one for name, one in page.level.parents_of(page.scope).items() if f"{name}_id" in told}
        if not values:
            continue
        columns = tuple(values)
        key = (page.org_id, page.level.entity.name, columns)
        rows = found.setdefault(key, _Rows(org_id=page.org_id, table=table, columns=columns))
        for one in page.ids:
            rows.values.setdefault(one, values)
    return list(found.values())


async def _fill_rows(database: Database, rows: _Rows, filled: Filled) -> None:
    waiting = sorted(rows.values)
    while waiting:
        ids, waiting = waiting[: filled.at_a_time], waiting[filled.at_a_time :]
        arguments = [[rows.values[one][name] for one in ids] for name in rows.columns]
        while True:
            began = time.monotonic()
            async with database.transaction() as connection:
                await connection.execute(text(_ROW_BY_ROW))
                (done,) = await fetch(connection, _fill_statement(rows), rows.org_id, ids, *arguments)
            _adapt(filled, time.monotonic() - began)
            filled.rows += done["filled"]
            if not done["locked"]:
                break
            await asyncio.sleep(LOCKED_SECONDS)


async def _fill_links(database: Database, page: _ListedPage, at: SharedList, filled: Filled) -> None:
    began = time.monotonic()
    with suppress(ChurchRemoved):
        async with database.transaction() as connection:
            await refuse_removed(connection, page.org_id)
            filled.links += await insert_links(connection, page.ids, at, page.shown_at)
    filled.slowest = max(filled.slowest, time.monotonic() - began)


def _adapt(filled: Filled, seconds: float) -> None:
    filled.slowest = max(filled.slowest, seconds)
    if seconds > SLOW_SECONDS:
        filled.at_a_time = max(filled.at_a_time // 2, FEWEST_ROWS)
    elif seconds < QUICK_SECONDS:
        filled.at_a_time = min(filled.at_a_time * 3 // 2, MOST_ROWS)


def _fill_statement(rows: _Rows) -> str:
    """Fill the columns that are null, in the lock order of the upserts; rows that are locked are counted."""
    mirror = quoted_name(rows.table)
    arrays = ", ".join(f"${number}::text[]" for number in range(2, 3 + len(rows.columns)))
    quoted = [_QUOTE(name) for name in rows.columns]
    columns = ", ".join(quoted)
    empty = " OR ".join(f"stored.{name} IS NULL" for name in quoted)
    values = ", ".join(f"{name} = coalesce(stored.{name}, held.{name})" for name in quoted)
    return f"""
        WITH given AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS given (_id, {columns})),
        wanted AS MATERIALIZED (
            SELECT given.* FROM given JOIN {mirror} AS stored ON stored.org_id = $1::text AND stored.id = _id
            WHERE {empty}),
        held AS MATERIALIZED (
            SELECT wanted.* FROM wanted JOIN {mirror} AS stored ON stored.org_id = $1::text AND stored.id = _id
            ORDER BY stored.id COLLATE "C" FOR NO KEY UPDATE OF stored SKIP LOCKED),
        done AS (
            UPDATE {mirror} AS stored SET {values} FROM held
            WHERE stored.org_id = $1::text AND stored.id = _id AND ({empty})
            RETURNING stored.id)
        SELECT (SELECT count(*) FROM done) AS filled,
               (SELECT count(*) FROM wanted) - (SELECT count(*) FROM held) AS locked
        """  # noqa: S608 - names from the catalogue


async def _note_progress(connection: AsyncConnection, next_run_id: int | None) -> None:
    await connection.execute(
        text(
            """
            UPDATE sync.backfills SET next_run_id = least(next_run_id, coalesce(CAST(:next AS bigint), next_run_id)),
                completed_at = CASE WHEN CAST(:next AS bigint) IS NULL THEN now() END
            WHERE name = :name AND completed_at IS NULL
            """
        ),
        {"name": NAME, "next": next_run_id},
    )
