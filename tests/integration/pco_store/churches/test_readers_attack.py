"""A reader of one church who wants to know of another one: functions that peek, statistics, errors and leftovers.

Of the church `hope` every table has a row with its name in every column; the reader is one of `grace`.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from embedded.postgres import Postgres
from pco_store.churches.readers import make_reader
from pco_store.database import Database
from pco_store.mirror.tables import all_mirror_tables
from tests.integration.pco_store.churches.test_church_removal import fill_every_table
from tests.integration.pco_store.churches.test_readers import as_reader
from tests.integration.views import select

OWN, OTHER = "Gracious", "Hopeful"
READABLE = """
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
           CASE WHEN has_table_privilege(c.oid, 'SELECT') THEN 'one' ELSE format('ROW(%s)', string_agg(
               format('%I', a.attname), ', ' ORDER BY a.attnum)) END AS row
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(n.oid, 'USAGE')
      AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'SELECT')
      AND n.nspname !~ '^pg_toast|^pg_temp' GROUP BY c.oid, 1 ORDER BY 1
"""
"""Every relation of which the login may read something, and an expression for the part of a row that it may read."""
PEEKING = """
    CREATE FUNCTION pg_temp.peek(told text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
    $$ BEGIN RAISE NOTICE 'peeked at %', told; RETURN true; END $$;
    CREATE OPERATOR pg_temp.~~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.peek_beside)
"""
BESIDE = """
    CREATE FUNCTION pg_temp.peek_beside(told text, beside text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
    $$ BEGIN RAISE NOTICE 'peeked at %', told; RETURN true; END $$
"""
NOT_OURS_TO_HIDE = {
    "pg_catalog.pg_roles",
    "pg_catalog.pg_user",
    "pg_catalog.pg_group",
    "pg_catalog.pg_auth_members",
}
"""Every login of a server may read the names of roles, and a reader's has its church's name in it (documented)."""


@pytest.fixture
async def churches(database: Database) -> Database:
    """Two churches with the same ids and a row of both in every table, and statistics of them."""
    for number, (org_id, name) in enumerate((("grace", OWN), ("hope", OTHER)), start=1):
        await fill_every_table(database, org_id, name, number)
    await select(database, "DELETE FROM sync.readers")
    for table in ("people.person", "people.field_datum"):
        await select(
            database,
            f"INSERT INTO {table} (org_id, id, _epoch, _synced_at, _content_hash, extra) "
            "SELECT 'hope', 'hopeful-' || n, 'Hopeful', now(), '', '{}' FROM generate_series(1, 2000) AS n",
        )
    await select(database, "ANALYZE")
    return database


@pytest.fixture
async def reader(churches: Database, database_url: str, postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A login of `grace` that has taken off what keeps honest people from mistakes."""
    await make_reader(churches, "hope")
    session = await as_reader(postgres, database_url, await make_reader(churches, "grace"))
    await session.execute("SET default_transaction_read_only = off; SET statement_timeout = 0")
    yield session
    await session.close()


def tells(value: object) -> bool:
    """Whether the other church shows in it: by its values, or by its name in a column of ours."""
    return OTHER.casefold() in str(value).casefold()


async def test_nothing_that_a_reader_may_read_shows_a_value_of_another_church(reader: asyncpg.Connection) -> None:
    """All tables and views, those of Postgres with statistics, activity, locks and prepared statements too."""
    relations = {row["name"]: row["row"] for row in await reader.fetch(READABLE)}
    assert {"pg_catalog.pg_stats", "pg_catalog.pg_stat_activity", "people.person", "sync.freshness"} <= set(relations)
    assert "sync.connections" not in relations
    told = {}
    for relation in sorted(relations.keys() - NOT_OURS_TO_HIDE):
        try:
            rows = await reader.fetch(f"SELECT {relations[relation]}::text FROM {relation} AS one")
        except asyncpg.PostgresError as error:
            rows = [(str(error),)]
        found = [row[0] for row in rows if tells(row[0])]
        if found:
            told[relation] = found
    assert told == {}
    assert await reader.fetchval("SELECT count(*) FROM pg_stats WHERE schemaname = 'people'") == 0


async def test_functions_and_operators_of_a_reader_are_given_no_row_of_another_church(
    reader: asyncpg.Connection,
) -> None:
    """They are as cheap as can be, so that the planner would ask them first, before the policy."""
    notices: list[str] = []
    reader.add_log_listener(lambda _, message: notices.append(message.message or ""))
    await reader.execute(BESIDE)
    await reader.execute(PEEKING)
    readable = [row for row in await reader.fetch(READABLE) if not row["name"].startswith(("pg_", "information_"))]
    assert len(readable) > len(all_mirror_tables())
    for name, row in readable:
        await reader.fetch(f"SELECT 1 FROM {name} AS one WHERE pg_temp.peek({row}::text)")
        await reader.fetch(f"SELECT 1 FROM {name} AS one WHERE {row}::text OPERATOR(pg_temp.~~~~) ''")
    await reader.fetch(
        "SELECT 1 FROM people.person AS one LEFT JOIN people.person AS two ON pg_temp.peek(two.id) "
        "WHERE pg_temp.peek(one.id)"
    )
    assert any(OWN in one for one in notices), "they are asked about the reader's own church"
    assert [one for one in notices if tells(one)] == []


async def test_no_error_tells_whether_another_church_has_a_row(reader: asyncpg.Connection) -> None:
    """What fails for a row that is there must not fail for one that is only hidden."""
    for wrong in (
        "1 / (length(id) - length(id)) = 0",
        "CAST(id AS integer) = 0 AND org_id = 'hope'",
        "CAST(_epoch AS date) > now() AND org_id = 'hope'",
        "jsonb_path_exists(CAST(id AS jsonb), '$.a')",
    ):
        statement = f"SELECT id FROM people.person WHERE org_id = 'hope' AND {wrong}"
        assert await reader.fetch(statement) == []


async def test_a_plan_knows_how_many_rows_there_are_and_none_of_their_texts(reader: asyncpg.Connection) -> None:
    """Postgres' estimates may use statistics of all rows where an operator tells nothing else (documented)."""
    for condition in ("_epoch LIKE 'Hope%'", "_epoch > 'Hope'", "id ~ 'hopeful'", "lower(_epoch) = 'hopeful'"):
        plan = await reader.fetch(
            f"EXPLAIN (ANALYZE, VERBOSE, BUFFERS OFF) SELECT * FROM people.person WHERE {condition}"
        )
        lines = [row[0] for row in plan]
        assert not any("2000" in line or "Hopeful" in line for line in lines), lines
        assert any("Filter" in line or "Cond" in line for line in lines)


async def test_a_session_that_is_forgotten_ends(churches: Database, database_url: str, postgres: Postgres) -> None:
    """A transaction that stays open would keep migrations and the vacuum waiting."""
    session = await as_reader(postgres, database_url, await make_reader(churches, "grace"))
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        assert await session.fetchval(f"SHOW {limit}") == "5min"
    await session.close()


async def test_no_function_of_ours_runs_with_its_owners_rights(churches: Database) -> None:
    found = await select(
        churches,
        "SELECT n.nspname || '.' || p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE p.prosecdef AND n.nspname !~ '^(pg_|information_schema)'",
    )
    assert found == []


async def test_no_sequence_foreign_key_or_large_object_leads_from_one_church_to_another(
    churches: Database, reader: asyncpg.Connection
) -> None:
    sequences = await select(churches, "SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences")
    assert sequences, "the ledger has some"
    for one in sequences:
        for statement in (f"SELECT last_value FROM {one['name']}", f"SELECT nextval('{one['name']}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch(statement)
    assert [row for row in await reader.fetch("SELECT last_value FROM pg_sequences") if row[0] is not None] == []
    mirror = "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND connamespace <> 'sync'::regnamespace".replace(
        "::", "\\:\\:"
    )
    assert await select(churches, mirror) == [], "a key of another table would be looked for with its owner's rights"
    assert await select(churches, "SELECT 1 FROM pg_largeobject_metadata") == [], "none of ours"


async def test_a_reader_cannot_become_a_reader_of_another_church(reader: asyncpg.Connection) -> None:
    other = await reader.fetchval(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'reader_hope%' ORDER BY oid DESC LIMIT 1"
    )
    own = await reader.fetchval("SELECT current_user")
    for statement in (
        f'SET ROLE "{other}"',
        f'GRANT "{other}" TO "{own}"',
        f"ALTER ROLE \"{other}\" PASSWORD 'mine'",
        f'DROP ROLE "{other}"',
        "ALTER TABLE sync.readers DISABLE ROW LEVEL SECURITY",
        "BEGIN; LOCK TABLE people.person IN SHARE MODE",
        "SELECT id FROM people.person FOR UPDATE",
        f'CREATE POLICY mine ON people.person TO "{own}" USING (true)',
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await reader.execute(statement)
        await reader.execute("ROLLBACK")
        assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError), (statement, refused.value)
    assert await reader.fetchval("SELECT string_agg(DISTINCT org_id, ',') FROM people.person") == "grace"
