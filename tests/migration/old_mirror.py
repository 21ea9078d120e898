"""A mirror as version 0.1 left it, of any size, and somebody who goes on writing to it meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from pco_store.database import Database
from pco_store.schema_check import VERSIONS

FIRST_RELEASE: Final = "0006"
"""The migration of version 0.1."""
ROWS_OF_A_LIST: Final = 4
ROWS_OF_A_PAGE: Final = 100


@asynccontextmanager
async def plainly(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own, as no program of ours makes it."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()


def upgrade_to(connection: Connection, revision: str) -> None:
    """Bring a database to a migration, as a program of that time did."""
    config = Config()
    config.set_main_option("script_location", str(Path(VERSIONS).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def make_old_mirror(database: Database, url: str, rows: int) -> None:
    """So many payment methods, listed below people by a fan-out that is over, and as many field data.

    What of a payment method names its person stands in the ledger only: method n is in the list of person n / 4.
    """
    async with database.transaction() as connection:
        await connection.run_sync(upgrade_to, FIRST_RELEASE)
    async with plainly(url) as plain:
        await plain.execute(
            f"""
            INSERT INTO people.field_datum (org_id, id, value, file, _synced_at, _epoch, _content_hash)
                SELECT 'grace', n::text, 'value ' || n,
                    CASE WHEN n % greatest({rows} / 900, 1) = 0 THEN 'https://example.org/' || n END,
                    now(), 'e', decode(md5(n::text), 'hex') FROM generate_series(1, {rows}) AS n;
            INSERT INTO giving.payment_method (org_id, id, last4, _synced_at, _epoch, _content_hash)
                SELECT 'grace', n::text, '1234', now(), 'e', decode(md5(n::text), 'hex')
                FROM generate_series(1, {rows}) AS n;
            INSERT INTO sync.runs (run_id, org_id, entity, scope, epoch, key, turn, state, mode, fence, owner,
                                   lease_until, page_size, fan_out, completed_at)
                VALUES (1, 'grace', 'giving.PaymentMethod', '*', 'e', 'fan-out', 1, 'completed', 'full', 1, 'old',
                        now(), 100, '{{"below": ["giving.Person"], "groups_per_run": 1}}', now());
            INSERT INTO sync.runs (run_id, org_id, entity, scope, epoch, key, state, mode, fence, owner, lease_until,
                                   page_size, parent_run_id, completed_at)
                SELECT n + 2, 'grace', 'giving.PaymentMethod', n::text, 'e', 'child ' || n, 'completed', 'full', 1,
                    'old', now(), 100, 1, now() FROM generate_series(0, {rows // ROWS_OF_A_LIST}) AS n;
            INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, stale, misfits,
                                    quarantined, requests, waited_seconds, ids, digest, fence)
                SELECT n + 2, 1, 0, 100, {ROWS_OF_A_LIST}, 0, 0, 0, 0, 0, 0, 1, 0,
                    ARRAY(SELECT one::text FROM generate_series(
                        greatest(n * {ROWS_OF_A_LIST}, 1), least(n * {ROWS_OF_A_LIST} + {ROWS_OF_A_LIST - 1}, {rows})
                    ) AS one), '', 1 FROM generate_series(0, {rows // ROWS_OF_A_LIST}) AS n;
            INSERT INTO sync.runs (run_id, org_id, entity, epoch, key, turn, state, mode, fence, owner, lease_until,
                                   page_size)
                VALUES (1000000000, 'grace', 'giving.PaymentMethod', 'delta', 'delta', 1, 'running', 'delta', 1, 'old',
                        now() + interval '1 day', 100);
            SELECT setval(pg_get_serial_sequence('sync.runs', 'run_id'), 1000000000);
            ANALYZE;
            """
        )


async def owners_in_order(url: str) -> tuple[int, int]:
    """How many payment methods name the person in whose list they are, and how many there are."""
    async with plainly(url) as plain:
        told, all_rows = await plain.fetchrow(
            f"SELECT count(*) FILTER (WHERE person_id = (id::bigint / {ROWS_OF_A_LIST})::text), count(*) "
            "FROM giving.payment_method"
        )
    return told, all_rows


async def files_of_tables(url: str) -> set[tuple[str, int]]:
    """Where each table's rows lie; a table that is rewritten lies somewhere else."""
    async with plainly(url) as plain:
        found = await plain.fetch(
            "SELECT oid::regclass::text, relfilenode::bigint FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)' AND relname <> 'migrations'"
        )
    return {(name, file) for name, file in found}


@dataclass(kw_only=True)
class Delta:
    """Commits pages one after the other, each with its rows and its place in the ledger, as deltas of 0.1 did."""

    url: str
    rows: int
    pages: int = 0
    slowest: float = 0.0
    """Of its pages, the longest one in seconds."""
    waited: float = 0.0
    """The longest that any session has waited for a lock, in seconds, as Postgres tells."""

    async def __aenter__(self) -> "Delta":
        self._work = [asyncio.create_task(self._write()), asyncio.create_task(self._look())]
        return self

    async def __aexit__(self, *_: object) -> None:
        ended = [one for one in self._work if one.done()]
        for one in self._work:
            one.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for one in ended:
            one.result()

    async def _write(self) -> None:
        async with plainly(self.url) as plain:
            while True:
                began = time.monotonic()
                first = self.pages * ROWS_OF_A_PAGE % max(self.rows - ROWS_OF_A_PAGE, 1)
                ids = sorted(str(one) for one in range(first + 1, first + ROWS_OF_A_PAGE + 1))
                async with plain.transaction():
                    await plain.execute("SELECT 1 FROM sync.runs WHERE run_id = 1000000000 AND fence = 1 FOR UPDATE")
                    await plain.execute(
                        "UPDATE giving.payment_method SET last4 = $2::text WHERE org_id = 'grace' AND id = ANY($1)",
                        ids,
                        str(self.pages),
                    )
                    await plain.execute(
                        "UPDATE people.field_datum SET value = $2::text WHERE org_id = 'grace' AND id = ANY($1)",
                        ids,
                        str(self.pages),
                    )
                    await plain.execute(
                        'INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, '
                        "stale, misfits, quarantined, requests, waited_seconds, ids, digest, fence) "
                        "VALUES (1000000000, 1, $1, 100, 100, 0, 100, 0, 0, 0, 0, 1, 0, $2, '', 1)",
                        self.pages * ROWS_OF_A_PAGE,
                        ids,
                    )
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.pages += 1
                await asyncio.sleep(0.005)

    async def _look(self) -> None:
        async with plainly(self.url) as plain:
            while True:
                longest = await plain.fetchval(
                    "SELECT extract(epoch FROM max(clock_timestamp() - waitstart)) FROM pg_locks "
                    "WHERE NOT granted AND locktype <> 'advisory'"
                )
                self.waited = max(self.waited, float(longest or 0))
                await asyncio.sleep(0.005)
