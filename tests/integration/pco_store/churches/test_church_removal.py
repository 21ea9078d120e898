"""A church is removed from the database with everything that is there of it, and nothing of it comes back meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from pco_client.redis_governor import budget_keys
from pco_store.churches.removal import (
    CHANGES,
    UnknownTableError,
    begin_removal,
    church_tables,
    church_views,
    count_church_rows,
    end_removal,
    remove_rows,
)
from pco_store.churches.wall import admit_churches, refuse_removed, removed_churches
from pco_store.database import Database
from pco_store.errors import ChurchRemoved, LeaseLost
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import NotOpened, Opened
from pco_store.ledger.proving.proofs import put_proof
from pco_store.ledger.runs import check_fence
from tasks.churches.forgetting import forget_in_redis
from tasks.pages.page_ref import PAGES
from tasks.reports.progress import PROGRESS
from tests.integration.requests import run_request
from tests.integration.views import mirror, resource, select

CANARY = "Canaria"

VALUES: Mapping[str, str] = {
    "text": "'{canary}'",
    "text[]": "ARRAY['{canary}']",
    "jsonb": """'{{"told": "{canary}"}}'""",
    "bytea": "convert_to('{canary}', 'UTF8')",
    "uuid": "gen_random_uuid()",
    "boolean": "false",
    "integer": "{number}",
    "bigint": "{number}",
    "bigint[]": "ARRAY[{number}]",
    "double precision": "1",
    "date": "current_date",
    "timestamp with time zone": "now()",
    "interval": "interval '1 day'",
}
"""A value of each type that our tables have, with the church's canary wherever there is room for it."""

COLUMNS = """
    SELECT format('%I.%I', n.nspname, c.relname) AS name, format('%I', a.attname) AS column,
           format_type(a.atttypid, a.atttypmod) AS type, a.attname AS plain
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND n.nspname !~ '^(pg_|information_schema)'
    ORDER BY 1, a.attnum
"""

KNOWN = {
    "org_id": "'{org_id}'",
    "run_id": "{number}",
    "state": "'{state}'",
    "flow_run_id": "'{canary}-flow'",
    "change_id": "{number}000",
}
STATES = {"sync.connections": "active"}
WITHOUT_TEXT = {"sync.unshown", "sync.kept_churches", CHANGES}
"""Beside the name of the church."""
UNTOUCHED = {"sync.migrations", "sync.backfills", "sync.churches"}


async def fill_every_table(database: Database, org_id: str, canary: str, number: int, schema: str = "") -> set[str]:
    """A row of the church in every table that there is, or that a schema has, with its canary in every column.

    Returns the tables.
    """
    tables: dict[str, list[Any]] = {}
    for row in await select(database, COLUMNS):
        if row["name"].startswith(schema and f"{schema}.") and row["name"] not in UNTOUCHED:
            tables.setdefault(row["name"], []).append(row)
    statements = []
    for name, columns in tables.items():
        told = {"org_id": org_id, "canary": canary, "number": number, "state": STATES.get(name, "completed")}
        values = [KNOWN.get(one["plain"], VALUES[one["type"]]).format(**told) for one in columns]
        names = ", ".join(one["column"] for one in columns)
        statements.append(f"INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(values)})")
    async with database.transaction() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute("; ".join(statements))
    return set(tables)


async def tables_with(database: Database, canary: str) -> set[str]:
    """Every table of the database of which a row has this text anywhere."""
    names = {row["name"] for row in await select(database, COLUMNS)}
    found = await select(
        database,
        " UNION ALL ".join(
            f"SELECT '{name}' AS name WHERE EXISTS "
            f"(SELECT 1 FROM {name} AS one WHERE one::text LIKE :canary OR one::text LIKE :bytes)"
            for name in names
        ),
        canary=f"%{canary}%",
        bytes=f"%{canary.encode().hex()}%",
    )
    return {row["name"] for row in found}


async def remove(database: Database, org_id: str) -> dict[str, int]:
    await begin_removal(database, org_id)
    gone: dict[str, int] = {}
    async for table, rows in remove_rows(database, org_id):
        gone[table] = gone.get(table, 0) + rows
    assert await end_removal(database, org_id)
    return gone


async def test_a_church_is_in_no_table_afterwards_and_another_in_all_of_them_still(database: Database) -> None:
    tables = await fill_every_table(database, "hope", "Hopeful", 2)
    assert await tables_with(database, "Hopeful") | WITHOUT_TEXT == tables
    before = await _everything(database)
    assert await fill_every_table(database, "grace", CANARY, 1) == tables
    async with database.transaction() as connection:
        counted = await count_church_rows(connection, "grace")
    assert set(counted) == tables

    gone = await remove(database, "grace")
    assert gone.pop(CHANGES) >= counted.pop(CHANGES), "each batch that goes is a change"
    assert gone == counted
    assert await tables_with(database, CANARY) == set()
    assert await _everything(database) == before


async def _everything(database: Database) -> list[tuple[str, str]]:
    names = {row["name"] for row in await select(database, COLUMNS)} - {"sync.churches"}
    rows = " UNION ALL ".join(f"SELECT '{name}' AS name, one::text AS told FROM {name} AS one" for name in names)
    return [(row["name"], row["told"]) for row in await select(database, f"{rows} ORDER BY 1, 2")]


async def test_two_removals_at_once_end_both_and_each_row_goes_once(database: Database) -> None:
    await fill_every_table(database, "grace", CANARY, 1)
    await select(
        database,
        "INSERT INTO people.person (org_id, id, _epoch, _synced_at, _content_hash, extra) "
        "SELECT 'grace', n::text, 'e', now(), '', '{}' FROM generate_series(1, 9000) AS n".replace("::", "\\:\\:"),
    )
    async with database.transaction() as connection:
        counted = await count_church_rows(connection, "grace")
    both = await asyncio.gather(remove(database, "grace"), remove(database, "grace"))
    gone = Counter(both[0]) + Counter(both[1])
    assert gone.pop(CHANGES) >= counted.pop(CHANGES), "each batch that goes is a change"
    assert gone == Counter(counted)
    assert await tables_with(database, CANARY) == set()


async def test_a_table_of_which_nobody_can_tell_whose_rows_it_has_stops_it(database: Database) -> None:
    await select(database, "CREATE TABLE sync.secrets (told text)")
    async with database.transaction() as connection:
        with pytest.raises(UnknownTableError, match=r"sync\.secrets"):
            await church_tables(connection)


async def test_the_view_of_its_custom_fields_goes_too(database: Database) -> None:
    for org_id in ("grace", "hope", "g" * 63):
        field = resource("FieldDefinition", "1", {"slug": "shoe_size", "data_type": "number"})
        await mirror(database, "people.FieldDefinition", field, org_id=org_id)
        await select(database, "SELECT people.make_custom_fields_view(:org_id)", org_id=org_id)
    for org_id in ("grace", "g" * 63):
        await remove(database, org_id)
        async with database.transaction() as connection:
            assert await church_views(connection, org_id) == []
    async with database.transaction() as connection:
        assert await church_views(connection, "hope") == ["people.custom_fields_hope"]


async def test_a_sync_that_runs_can_commit_nothing_any_more(store: Database) -> None:
    opened, lease = await open_run(store, run_request(epoch=None))
    assert isinstance(opened, Opened)
    assert lease is not None
    await begin_removal(store, "grace")
    async with store.transaction() as connection:
        with pytest.raises(LeaseLost):
            await check_fence(connection, opened.run)
    with pytest.raises(LeaseLost):
        await lease.renew()
    await lease.release()
    await _forget(store)


async def test_a_sync_that_begins_meanwhile_or_later_is_refused_until_the_church_is_connected_again(
    store: Database,
) -> None:
    await begin_removal(store, "grace")
    with pytest.raises(ChurchRemoved, match="grace is being removed, and nothing of it is synced"):
        await open_run(store, run_request(epoch=None))
    async with store.transaction() as connection:
        with pytest.raises(ChurchRemoved):
            await admit_churches(connection, ["grace"])
    async for _ in remove_rows(store, "grace"):
        pass  # other tests of this database have mirrored a church of that name
    assert await end_removal(store, "grace")
    with pytest.raises(ChurchRemoved, match="grace was removed; to sync it again: pco-sync connect grace"):
        await open_run(store, run_request(epoch=None))
    async with store.transaction() as connection:
        with pytest.raises(ChurchRemoved):
            await _proof(connection)
    async with store.transaction() as connection:
        assert await removed_churches(connection) == {"grace": True}
        await admit_churches(connection, ["grace"])
    opened, lease = await open_run(store, run_request(epoch=None))
    assert not isinstance(opened, NotOpened)
    assert lease is not None
    await lease.release()


async def _proof(connection: Any) -> None:
    await put_proof(
        connection, org_id="grace", entity="e", method="m", verdict="v", facts={}, requests=0, seconds=0
    )  # fmt: skip


async def _forget(store: Database) -> None:
    await select(store, "DELETE FROM sync.churches")


async def test_the_removal_waits_for_who_was_asked_before_it(store: Database) -> None:
    """Else a run that is being opened at this moment would be committed behind the removal's back."""
    async with store.transaction() as connection:
        await refuse_removed(connection, "grace")
        removal = asyncio.create_task(begin_removal(store, "grace"))
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not (await select(store, waiting))[0]["n"]:
            assert not removal.done()
        assert await select(store, "SELECT * FROM sync.churches") == []
    await removal
    await _forget(store)


async def test_a_removal_that_was_killed_is_continued(database: Database, database_url: str) -> None:
    """kill -9 after the first batches: what went is gone, the church stays refused, and the next removal ends it."""
    await select(
        database,
        "INSERT INTO people.person (org_id, id, _epoch, _synced_at, _content_hash, extra) "
        "SELECT 'grace', n::text, 'e', now(), '', '{}' FROM generate_series(1, 30000) AS n".replace("::", "\\:\\:"),
    )
    program = (
        "import asyncio, sys\n"
        "from pco_store.churches.removal import begin_removal, remove_rows\n"
        "from pco_store.database import Database\n"
        "async def run():\n"
        "    database = Database(sys.argv[1])\n"
        "    await begin_removal(database, 'grace')\n"
        "    async for table, rows in remove_rows(database, 'grace'):\n"
        "        print(table, rows, flush=True)\n"
        "        sys.stdin.readline()\n"
        "asyncio.run(run())\n"
    )
    process = subprocess.Popen(  # noqa: ASYNC220 - it is to be killed in the middle
        [sys.executable, "-c", program, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("people.person 2000")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert await select(database, "SELECT count(*) AS n FROM people.person") == [{"n": 28000}]
    with pytest.raises(ChurchRemoved, match="pco-sync churches remove grace --yes"):
        await open_run(database, run_request(epoch=None))
    assert await remove(database, "grace") == {"people.person": 28000}


async def test_the_end_is_not_noted_while_something_is_left(database: Database) -> None:
    await begin_removal(database, "grace")
    await fill_every_table(database, "grace", CANARY, 1)
    assert not await end_removal(database, "grace")
    async with database.transaction() as connection:
        assert await removed_churches(connection) == {"grace": False}


async def test_redis_forgets_one_church_and_the_budget_of_its_credential(redis_url: str) -> None:
    def keys_of(org_id: str, identity: str) -> set[str]:
        return {f"{PROGRESS}{org_id}:people.Person", f"{PAGES}{org_id}/people.Person/0", *budget_keys(identity)}

    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        for key in keys_of("grace", "pat-1") | keys_of("grace-2", "pat-2"):
            await redis.set(key, "1")
        assert await forget_in_redis(redis, "grace", ["pat-1"]) == len(keys_of("grace", "pat-1"))
        assert set(await redis.keys()) == keys_of("grace-2", "pat-2")
        assert await forget_in_redis(redis, "grace", ["pat-1"]) == 0
