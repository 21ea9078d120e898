"""Removes everything of a church from the database: marked first, then table by table in small transactions.

Which tables hold something of a church, the database says: those with an `org_id`, and those that belong to a run. A
removal that was interrupted is continued by the next one, at whatever it finds.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_store.churches.wall import CHURCH_LOCK
from pco_store.database import Database
from pco_store.ledger.runs import CLOSED

RUNS: Final = "sync.runs"
CHANGES: Final = "sync.church_changes"
"""Gets a row with each batch that is deleted elsewhere."""
KEPT: Final = "sync.churches"
"""It says that the church was removed, and nothing else."""
WITHOUT_CHURCH: Final = frozenset({"sync.migrations", "sync.backfills"})
BY_FLOW_RUN: Final = "sync.flow_runs"
FIRST_BATCH: Final = 2_000
LARGEST_BATCH: Final = 5_000
FAST_SECONDS: Final = 0.03
SLOW_SECONDS: Final = 0.08
"""A batch that takes longer is followed by one of half its size; one that is faster than that, by a larger one."""


class UnknownTableError(Exception):
    """A table stands in our schemas of which nobody can tell whose rows it has. Nothing was removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChurchTable:
    """A table that holds rows of churches, as SQL names it, and which of them are one's."""

    name: str
    condition: str


async def church_tables(connection: AsyncConnection) -> list[ChurchTable]:
    """Every table of ours with something of a church; those that need `sync.runs` stand before it.

    Raises `UnknownTableError`.
    """
    found = await connection.execute(
        text(
            """
            SELECT n.nspname || '.' || c.relname AS plain, format('%I.%I', n.nspname, c.relname) AS quoted,
                   array_agg(a.attname::text) AS columns
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(CAST(:schemas AS text[]))
            GROUP BY 1, 2 ORDER BY 1
            """
        ),
        {"schemas": sorted({"sync", *(one.schema_name for one in load_catalog().entities())})},
    )
    by_org, by_run, unknown = [], [], []
    for row in found:
        if row.plain in WITHOUT_CHURCH or row.plain == KEPT:
            continue
        if "org_id" in row.columns:
            by_org.append(ChurchTable(name=row.quoted, condition="org_id = :org_id"))
        elif "run_id" in row.columns:
            by_run.append(ChurchTable(name=row.quoted, condition=_of_runs("run_id")))
        elif row.plain == BY_FLOW_RUN:
            by_run.append(ChurchTable(name=row.quoted, condition=_of_runs("flow_run_id")))
        else:
            unknown.append(row.plain)
    if unknown:
        raise UnknownTableError(f"whose rows these tables hold is not known: {', '.join(unknown)}")
    return [*by_run, *sorted(by_org, key=lambda one: (one.name in (RUNS, CHANGES), one.name == CHANGES))]


def _of_runs(column: str) -> str:
    return f"{column} IN (SELECT {column} FROM {RUNS} WHERE org_id = :org_id)"  # noqa: S608 - own names


async def count_church_rows(connection: AsyncConnection, org_id: str) -> dict[str, int]:
    """The rows of a church in each table that has some, by the table's name."""
    tables = await church_tables(connection)
    counts = " UNION ALL ".join(
        f"SELECT {place} AS place, count(*) AS rows FROM {one.name} WHERE {one.condition}"  # noqa: S608 - own names
        for place, one in enumerate(tables)
    )
    found = await connection.execute(
        text(f"SELECT place, rows FROM ({counts}) AS one WHERE rows > 0 ORDER BY place"),  # noqa: S608 - the same
        {"org_id": org_id},
    )
    return {tables[row.place].name: row.rows for row in found}


async def church_views(connection: AsyncConnection, org_id: str) -> list[str]:
    """The views that were made for this church, as SQL names them."""
    found = await connection.scalars(
        text(
            "SELECT format('%I.%I', schemaname, viewname) FROM pg_views "
            "WHERE schemaname = 'people' AND viewname = people.custom_fields_view_name(:org_id)"
        ),
        {"org_id": org_id},
    )
    return list(found)


async def begin_removal(database: Database, org_id: str) -> None:
    """From here on nothing of the church can be begun or committed. Safe to repeat.

    A run that was opened before is committed by then; its fence moves, and so do those of its children.
    """
    async with database.transaction() as connection:
        await connection.execute(
            text(f"SELECT pg_advisory_xact_lock({CHURCH_LOCK.format(org_id=':org_id')})"), {"org_id": org_id}
        )
        await connection.execute(
            text(
                "INSERT INTO sync.churches AS church (org_id, removal_began_at) VALUES (:org_id, now()) "
                "ON CONFLICT (org_id) DO UPDATE SET display_name = NULL, removed_at = NULL, "
                "removal_began_at = coalesce(church.removal_began_at, now())"
            ),
            {"org_id": org_id},
        )
    async for _ in _in_batches(
        database,
        org_id,
        f"UPDATE sync.runs SET {CLOSED} WHERE run_id = ANY(ARRAY(SELECT run_id FROM sync.runs "  # noqa: S608 - own constant
        "WHERE org_id = :org_id AND state <> 'closed' ORDER BY run_id LIMIT :most FOR UPDATE))",
    ):
        pass


async def remove_rows(database: Database, org_id: str) -> AsyncIterator[tuple[str, int]]:
    """Delete what is there, after `begin_removal`: each table and how many rows of it went, batch by batch.

    Raises `UnknownTableError`, and `StatementRefused` if somebody's own view needs a view of the church.
    """
    async with database.transaction() as connection:
        tables = await church_tables(connection)
        views = await church_views(connection, org_id)
    for view in views:
        async with database.transaction() as connection:
            await connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        yield view, 0
    for table in tables:
        delete = (
            f"DELETE FROM {table.name} WHERE ctid = ANY(ARRAY("  # noqa: S608 - names from the database, quoted by it
            f"SELECT ctid FROM {table.name} WHERE {table.condition} LIMIT :most))"
        )
        async for gone in _in_batches(database, org_id, delete):
            yield table.name, gone


async def end_removal(database: Database, org_id: str) -> bool:
    """Note that nothing is left; False if something is: then `remove_rows` has to look again."""
    async with database.transaction() as connection:
        if await count_church_rows(connection, org_id) or await church_views(connection, org_id):
            return False
        await connection.execute(
            text("UPDATE sync.churches SET removed_at = now() WHERE org_id = :org_id AND removal_began_at IS NOT NULL"),
            {"org_id": org_id},
        )
        return True


async def _in_batches(database: Database, org_id: str, statement: str) -> AsyncIterator[int]:
    """Run it until it finds nothing, each time in a transaction of its own, which is to be over soon."""
    most = FIRST_BATCH
    while True:
        began = time.monotonic()
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            found = await connection.execute(text(statement), {"org_id": org_id, "most": most})
        seconds = time.monotonic() - began
        if not found.rowcount:
            return
        yield int(found.rowcount)
        if seconds > SLOW_SECONDS:
            most = max(most // 2, 100)
        elif seconds < FAST_SECONDS:
            most = min(most * 2, LARGEST_BATCH)
