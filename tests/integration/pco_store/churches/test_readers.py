"""Readers of one church: they see its mirror and nothing else, and cannot change anything, whatever they try."""

import asyncpg
import pytest

from embedded.postgres import Postgres
from pco_store.churches.readers import READERS, Reader, drop_readers, make_reader
from pco_store.database import Database
from pco_store.errors import ChurchRemoved
from pco_store.migrate import migrate
from pco_store.mirror.tables import all_mirror_tables
from tests.integration.pco_store.churches.test_church_removal import fill_every_table
from tests.integration.pco_store.mirror.test_views import JOINED, one_of_everything
from tests.integration.views import select

MIRROR = """
    SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relrowsecurity AS closed, c.relforcerowsecurity AS forced
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema|sync)'
"""
VIEWS = """
    SELECT format('%I.%I', n.nspname, c.relname) AS name, c.reloptions AS options
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND n.nspname !~ '^(pg_|information_schema)'
"""
FORBIDDEN = (
    "INSERT INTO people.person (org_id, id, _epoch, _synced_at, _content_hash) VALUES ('grace', '9', '', now(), '')",
    "UPDATE people.person SET first_name = 'x'",
    "DELETE FROM people.person",
    "TRUNCATE people.person",
    "CREATE TABLE people.mine (told text)",
    "CREATE VIEW people.mine AS SELECT 1",
    "SELECT people.make_custom_fields_view('hope')",
    "ALTER TABLE people.person DISABLE ROW LEVEL SECURITY",
    "DROP POLICY readers ON people.person",
    "SELECT * FROM sync.quarantine",
    "SELECT * FROM sync.runs",
    "SELECT * FROM sync.connections",
    "SELECT * FROM sync.churches",
    "SELECT * FROM sync.assumptions",
    "UPDATE sync.readers SET org_id = 'hope'",
    "INSERT INTO sync.readers VALUES (current_user, 'hope')",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER ROLE current_user BYPASSRLS",
    "COPY people.person TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
)


@pytest.fixture
async def churches(database: Database) -> Database:
    """Two churches with the same ids, and a row of both in every table of the ledger and below every view."""
    for number, (org_id, name) in enumerate((("grace", "Ada"), ("hope", "Ben")), start=1):
        await fill_every_table(database, org_id, name, number, schema="sync")
    await select(database, "DELETE FROM sync.readers")
    for org_id, name in (("grace", "Ada"), ("hope", "Ben")):
        await one_of_everything(database, org_id, name)
        await select(database, "SELECT people.make_custom_fields_view(:org_id)", org_id=org_id)
    return database


def _names() -> list[str]:
    return [f'"{one.schema}"."{one.name}"' for one in all_mirror_tables()]


async def as_reader(postgres: Postgres, database_url: str, reader: Reader) -> asyncpg.Connection:
    name = database_url.split("@/")[1].split("?")[0]
    return await asyncpg.connect(host=str(postgres.data), user=reader.role_name, database=name)


async def test_a_reader_sees_its_church_in_every_table_and_view_and_no_other(
    churches: Database, database_url: str, postgres: Postgres
) -> None:
    readers = {org_id: await make_reader(churches, org_id) for org_id in ("grace", "hope")}
    for org_id, other in (("grace", "hope"), ("hope", "grace")):
        session = await as_reader(postgres, database_url, readers[org_id])
        for view in JOINED:
            rows = await session.fetch(f"SELECT org_id FROM {view}")
            assert {row["org_id"] for row in rows} == {org_id}, view
        assert len(await session.fetch(f"SELECT * FROM people.custom_fields_{org_id}")) == 1
        assert await session.fetch(f"SELECT * FROM people.custom_fields_{other}") == []
        assert await session.fetch("SELECT * FROM people.custom_field_columns($1)", other) == []
        for table in _names():
            assert await session.fetchval(f"SELECT count(*) FROM {table} WHERE org_id <> $1", org_id) == 0, table
        assert await session.fetchval("SELECT count(*) FROM people.person") == 1
        told = "SELECT 1 / (length(first_name) - length(first_name)) FROM people.person WHERE org_id = $1"
        assert await session.fetch(told, other) == [], "no error tells of a row that is not shown"
        await session.close()


async def test_every_table_of_the_mirror_is_closed_and_its_owner_is_not_bound(churches: Database) -> None:
    await make_reader(churches, "grace")
    tables = await select(churches, MIRROR)
    assert len(tables) == len(_names())
    assert [one["name"] for one in tables if not one["closed"] or one["forced"]] == []
    assert len(await select(churches, "SELECT org_id FROM people.person")) == 2


async def test_every_view_runs_with_the_rights_of_who_asks(churches: Database) -> None:
    views = await select(churches, VIEWS)
    assert len(views) > len(JOINED) + 3
    assert [one["name"] for one in views if "security_invoker=true" not in (one["options"] or [])] == []


async def test_a_reader_can_change_nothing_and_read_nothing_else(
    churches: Database, database_url: str, postgres: Postgres
) -> None:
    session = await as_reader(postgres, database_url, await make_reader(churches, "grace"))
    await session.execute("SET default_transaction_read_only = off")
    for statement in FORBIDDEN:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
            await session.execute(statement)
    await session.execute(f"SET ROLE {READERS}")
    assert await session.fetch("SELECT * FROM people.person") == []
    await session.execute("RESET ROLE")
    await session.execute("SET session.org_id = 'hope'; SET row_security = on; SET search_path = people")
    assert [row["org_id"] for row in await session.fetch("SELECT org_id FROM person")] == ["grace"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await session.execute("SET row_security = off; SELECT * FROM people.person")
    await session.close()


async def test_a_table_that_comes_later_is_closed_before_it_can_be_read(
    churches: Database, database_url: str, postgres: Postgres
) -> None:
    session = await as_reader(postgres, database_url, await make_reader(churches, "grace"))
    await select(churches, "CREATE TABLE people.later (org_id text, told text)")
    await select(churches, "INSERT INTO people.later VALUES ('grace', 'Ada'), ('hope', 'Ben')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetch("SELECT * FROM people.later")
    await migrate(database_url)
    assert [row["told"] for row in await session.fetch("SELECT told FROM people.later")] == ["Ada"]
    await session.close()


async def test_a_database_without_readers_is_left_alone(database: Database, database_url: str) -> None:
    await migrate(database_url)
    assert [one["name"] for one in await select(database, MIRROR) if one["closed"]] == []


async def test_the_plans_of_who_syncs_are_the_same_with_readers_and_without(churches: Database) -> None:
    statements = (
        "SELECT * FROM people.person WHERE org_id = 'grace' AND id = '1'",
        "UPDATE people.person SET _epoch = 'e' WHERE org_id = 'grace' AND id = '1'",
        "INSERT INTO people.person (org_id, id, _epoch, _synced_at, _content_hash) VALUES ('grace', '1', '', now(), '')"
        " ON CONFLICT (org_id, id) DO UPDATE SET _epoch = excluded._epoch",
        "SELECT * FROM sync.runs WHERE org_id = 'grace' AND entity = 'x' AND scope = '' ORDER BY turn DESC LIMIT 1",
        "UPDATE sync.runs SET lease_until = now() WHERE run_id = 1 AND fence = 2",
    )
    before = [await select(churches, f"EXPLAIN (VERBOSE, COSTS OFF) {one}") for one in statements]
    await make_reader(churches, "grace")
    assert [await select(churches, f"EXPLAIN (VERBOSE, COSTS OFF) {one}") for one in statements] == before


async def test_other_roles_go_on_as_they_were_granted(
    churches: Database, database_url: str, postgres: Postgres
) -> None:
    await select(churches, "CREATE ROLE analyst LOGIN")
    await select(churches, "GRANT USAGE ON SCHEMA people TO analyst")
    await select(churches, "GRANT SELECT, INSERT ON people.person TO analyst")
    await make_reader(churches, "grace")
    session = await as_reader(postgres, database_url, Reader(role_name="analyst", password=""))
    assert await session.fetchval("SELECT count(*) FROM people.person") == 2
    await session.close()
    await select(churches, "DROP OWNED BY analyst")
    await select(churches, "DROP ROLE analyst")


async def test_a_reader_is_made_again_with_another_password_and_goes_with_its_church(churches: Database) -> None:
    first, second = await make_reader(churches, "grace"), await make_reader(churches, "grace")
    assert first.role_name == second.role_name
    assert first.password != second.password
    assert second.password not in repr(second)
    assert await drop_readers(churches, "grace") == [second.role_name]
    assert await select(churches, "SELECT 1 FROM pg_roles WHERE rolname = :name", name=second.role_name) == []
    await select(churches, "INSERT INTO sync.churches VALUES ('grace', NULL, now(), now())")
    with pytest.raises(ChurchRemoved):
        await make_reader(churches, "grace")
