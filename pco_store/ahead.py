"""Adds the columns that a migration needs table by table, and builds its indexes, before the migration itself runs.

A migration is one transaction, and what it locks stays locked until its end: with columns for each of eighty tables,
that is longer than a sync may have to wait. So each table gets its columns in a transaction of its own, which steps
back if somebody uses the table, and is tried again. The migration then touches only what still lacks them.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from sqlalchemy import Connection, text

from pco_store.database import Database, unavailable_means_retry
from pco_store.errors import StatementRefused, StoreInUse, StoreUnavailable

ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('pco-sync:migrate', 0))"
"""Two who change the tables wait for each other."""
LOCK_MILLISECONDS: Final = 40
"""So long others may have to wait behind us for a table that is in use."""
PAUSE_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 120.0
"""How long one table is tried; a query that takes longer has to end first."""

Columns = Mapping[str, Sequence[str]]
"""Text columns by tables, whose names have their schemas before them: {"giving.donation": ["person_id"]}."""

Indexes = Mapping[str, str]
"""What follows the name in CREATE INDEX, by the name in the schema `sync`."""

_STATE_OF_INDEX: Final = """
    SELECT CASE WHEN indisvalid THEN 'built'
        WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' AND mode = 'ShareUpdateExclusiveLock' AND granted
                     AND relation = indrelid AND database = (SELECT oid FROM pg_database
                                                             WHERE datname = current_database())) THEN 'being_built'
        WHEN indexrelid IS NOT NULL THEN 'broken' ELSE 'lacking' END
    FROM (SELECT) AS one LEFT JOIN pg_index ON indexrelid = to_regclass(:name)
"""


async def add_columns_ahead(database: Database, columns: Columns) -> None:
    """Add what is lacking to the tables that exist. Safe to interrupt and to repeat.

    Raises `StoreUnavailable` when a table is in use all the time.
    """
    async with database.transaction() as connection:
        lacking = await connection.run_sync(lacking_columns, columns)
    for table, names in lacking.items():
        await make_unless_in_use(
            database,
            add_columns(table, names),
            partial(_has_columns, table=table, names=names),
            trouble=f"{table} is in use all the time, so that it cannot get its new columns",
        )


async def make_unless_in_use(
    database: Database, statement: str, is_made: Callable[[Connection], bool], *, trouble: str
) -> None:
    """Run a statement that locks a table or view, again and again until it had to wait for nobody.

    Two who do so wait for each other. Raises `StoreUnavailable` with this trouble in the end.
    """
    patience_until = time.monotonic() + PATIENCE_SECONDS
    while True:
        async with database.transaction() as connection:
            await connection.execute(text(ONE_AT_A_TIME))
            if await connection.run_sync(is_made):
                return
            await connection.exec_driver_sql(_unless_in_use(statement))
            if await connection.run_sync(is_made):
                return
        if time.monotonic() > patience_until:
            raise StoreUnavailable(trouble)
        await asyncio.sleep(PAUSE_SECONDS)


async def build_indexes_ahead(database: Database, indexes: Indexes) -> None:
    """Build what is lacking while others write; an attempt that was interrupted is thrown away. Safe to repeat.

    It waits for every transaction that has begun before. Two who do so wait for each other. Raises `StoreUnavailable`,
    also when one of those does not end.
    """
    for name, what in indexes.items():
        patience_until = time.monotonic() + PATIENCE_SECONDS
        while (state := await _state_of_index(database, name)) != "built":
            if time.monotonic() > patience_until:
                raise StoreUnavailable(f"the index {name} is being built for too long by somebody else")
            if state == "broken":
                await _run_alone(database, f"DROP INDEX CONCURRENTLY IF EXISTS sync.{name}")
            elif state == "lacking":
                try:
                    with suppress(StatementRefused):  # somebody was faster, or it is there now, broken
                        await _run_alone(database, f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {what}")
                except StoreInUse:
                    raise StoreUnavailable(
                        f"a transaction that began before does not end, so that the index {name} cannot be built"
                    ) from None
            else:
                await asyncio.sleep(PAUSE_SECONDS)


async def _state_of_index(database: Database, name: str) -> str:
    async with database.transaction() as connection:
        state: str = await connection.scalar(text(_STATE_OF_INDEX), {"name": f"sync.{name}"})
        return state


async def _run_alone(database: Database, statement: str) -> None:
    """In no transaction: Postgres makes several of it."""
    with unavailable_means_retry():
        async with database.sessions.connect() as session:
            await session.execution_options(isolation_level="AUTOCOMMIT")
            await session.exec_driver_sql(f"SET lock_timeout = '{max(PATIENCE_SECONDS, 0.001):g}s'")
            try:
                await session.exec_driver_sql(statement)
            finally:
                await session.exec_driver_sql("RESET lock_timeout")


def _has_columns(connection: Connection, table: str, names: Sequence[str]) -> bool:
    return not lacking_columns(connection, {table: names})


def lacking_columns(connection: Connection, columns: Columns) -> dict[str, list[str]]:
    """Of these columns, those that their tables do not have; tables that do not exist lack nothing."""
    found = connection.execute(
        text(
            """
            SELECT table_schema || '.' || table_name AS name, array_agg(column_name::text) AS columns
            FROM information_schema.columns WHERE table_schema || '.' || table_name = ANY(CAST(:tables AS text[]))
            GROUP BY 1
            """
        ),
        {"tables": list(columns)},
    )
    known = {row.name: set(row.columns) for row in found}
    lacking = {table: [one for one in columns[table] if one not in names] for table, names in known.items()}
    return {table: names for table, names in lacking.items() if names}


def add_columns(table: str, names: Sequence[str]) -> str:
    """The statement; a column without a default is only declared, no row is touched."""
    schema, name = table.split(".")
    added = ", ".join(f'ADD COLUMN IF NOT EXISTS "{column}" text' for column in names)
    return f'ALTER TABLE "{schema}"."{name}" {added}'


def _unless_in_use(statement: str) -> str:
    return (
        f"DO $do$ BEGIN SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'; {statement}; "
        "EXCEPTION WHEN lock_not_available THEN NULL; END $do$"
    )
