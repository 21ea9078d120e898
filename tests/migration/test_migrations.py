"""The migrations make exactly the tables that the models describe; running them is safe at any time."""

import asyncio
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from embedded.postgres import Postgres
from pco_store.churches.tables import ChurchRow, ReaderRow
from pco_store.connections.tables import ConnectionRow
from pco_store.database import Database
from pco_store.errors import SchemaMissing, SchemaNewer, SchemaOutdated, StatementRefused
from pco_store.freshness.tables import ChurchChangeRow, KeptChurchRow, TableFactsRow
from pco_store.ledger.tables import LEDGER_SCHEMA
from pco_store.migrate import migrate
from pco_store.mirror.tables import all_mirror_tables, metadata
from pco_store.schema_check import (
    OLDEST_PROGRAM,
    VERSIONS,
    check_schema,
    known_migrations,
    newest_migration,
    oldest_program,
)
from pco_store.verdicts.tables import AssumptionRow
from tests.migration.old_mirror import upgrade_to

MIGRATIONS_TABLE = "migrations"

COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
           pg_get_expr(d.adbin, d.adrelid), (SELECT collname FROM pg_collation WHERE oid = a.attcollation)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^(pg_|information_schema)'
"""
CONSTRAINTS = """
    SELECT n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^(pg_|information_schema)'
"""
INDEXES = """
    SELECT schemaname, tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname !~ '^(pg_|information_schema)'
"""


def create_from_models(connection: Connection) -> None:
    elsewhere = (ConnectionRow, ChurchRow, ReaderRow, AssumptionRow, TableFactsRow, KeptChurchRow, ChurchChangeRow)
    assert all(one.__tablename__ for one in elsewhere), "what is imported is known to the metadata"
    tables = all_mirror_tables()
    for schema in sorted({LEDGER_SCHEMA, *(str(table.schema) for table in tables)}):
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    metadata.create_all(connection)


async def facts(database: Database, query: str) -> AbstractSet[tuple[Any, ...]]:
    """What Postgres says about all tables but Alembic's own."""
    async with database.transaction() as connection:
        found = await connection.execute(text(query))
        return {tuple(row) for row in found if row[1] != MIGRATIONS_TABLE}


async def contents(database: Database) -> AbstractSet[tuple[Any, ...]]:
    return await facts(database, COLUMNS) | await facts(database, CONSTRAINTS) | await facts(database, INDEXES)


async def test_migrations_and_models_make_the_same_columns_constraints_and_indexes(
    database: Database, empty_database_url: str
) -> None:
    modelled = Database(empty_database_url)
    async with modelled.transaction() as connection:
        await connection.run_sync(create_from_models)
    for query in (COLUMNS, CONSTRAINTS, INDEXES):
        from_migrations, from_models = await facts(database, query), await facts(modelled, query)
        assert len(from_models) > 200
        assert from_migrations - from_models == set()
        assert from_models - from_migrations == set()
    await modelled.aclose()


async def test_alembic_sees_nothing_left_to_migrate(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        all_mirror_tables()
        options = {
            "include_schemas": True,
            "compare_type": True,
            "compare_server_default": True,
            "version_table": MIGRATIONS_TABLE,
            "version_table_schema": LEDGER_SCHEMA,
        }
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        return [one for one in found if not _is_comment(one)]

    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []


def _is_comment(difference: Any) -> bool:
    """The models have none: `migrate` publishes them from the catalogue."""
    kind = difference[0][0] if isinstance(difference, list) else difference[0]
    return kind in {"remove_table_comment", "modify_comment"}


async def test_to_migrate_again_changes_nothing(database: Database, database_url: str) -> None:
    before = await contents(database)
    assert await migrate(database_url) == newest_migration()
    assert await contents(database) == before


async def test_two_who_migrate_at_once_both_succeed(empty_database_url: str) -> None:
    both = await asyncio.gather(migrate(empty_database_url), migrate(empty_database_url))
    assert set(both) == {newest_migration()}
    database = Database(empty_database_url)
    async with database.transaction() as connection:
        await check_schema(connection)
        assert await connection.scalar(text(f"SELECT count(*) FROM sync.{MIGRATIONS_TABLE}")) == 1
    await database.aclose()


async def pretend(database: Database, migration: str, *, oldest_program: str | None = OLDEST_PROGRAM) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text(f"UPDATE sync.{MIGRATIONS_TABLE} SET version_num = :migration, oldest_program = :oldest"),
            {"migration": migration, "oldest": oldest_program},
        )


async def check(database: Database) -> None:
    async with database.transaction() as connection:
        await check_schema(connection)


async def test_a_migrated_database_is_what_this_program_needs(database: Database) -> None:
    await check(database)


async def test_a_database_without_tables_says_how_to_make_them(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(SchemaMissing, match="no pco-sync tables yet; run `make migrate`"):
        await check(database)
    await database.aclose()


async def test_an_older_database_says_how_to_bring_it_up_to_date(database: Database) -> None:
    await pretend(database, "0001")
    told = f"at migration 0001, this program needs {newest_migration()}; run `make migrate`"
    with pytest.raises(SchemaOutdated, match=told):
        await check(database)


async def test_a_newer_database_that_this_program_does_not_fit_is_refused_and_not_touched(
    database: Database, database_url: str
) -> None:
    await pretend(database, "9999", oldest_program="9998")
    before = await contents(database)
    with pytest.raises(SchemaNewer, match=r"at migration 9999, which this program .* does not know; update pco-sync"):
        await check(database)
    with pytest.raises(SchemaNewer):
        await migrate(database_url)
    assert await contents(database) == before


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    postgres: Postgres, empty_database_url: str
) -> None:
    name = empty_database_url.split("@/")[1].split("?")[0]
    postgres.psql(name, "CREATE SCHEMA sync; CREATE TABLE sync.watermarks (in_the_way int)")
    with pytest.raises(StatementRefused, match='"watermarks" already exists'):
        await migrate(empty_database_url)
    assert postgres.psql(name, "SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'sync'") == (
        "watermarks"
    )


def test_the_files_tell_the_same_order_as_alembic() -> None:
    """`schema_check` knows the migrations by their files' names, so that no sync has to import Alembic."""
    scripts = ScriptDirectory(str(VERSIONS.parent))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert known_migrations() == newest_first[::-1]


async def test_a_newer_database_that_only_got_more_will_do_for_a_worker_that_still_runs(database: Database) -> None:
    await pretend(database, "9999", oldest_program=newest_migration())
    await check(database)
    await pretend(database, "9999", oldest_program=None)
    with pytest.raises(SchemaNewer):
        await check(database)


async def test_what_programs_may_know_is_told_before_tables_change_and_never_less_strictly(
    database: Database, database_url: str
) -> None:
    await pretend(database, known_migrations()[-2], oldest_program="0001")
    with suppress(StatementRefused):  # what the last migration makes is there already
        await migrate(database_url)
    async with database.transaction() as connection:
        assert await oldest_program(connection) == OLDEST_PROGRAM
    await pretend(database, newest_migration(), oldest_program="9998")
    await migrate(database_url)
    async with database.transaction() as connection:
        assert await oldest_program(connection) == "9998"


COLUMNS_OF_TABLES = """
    SELECT table_schema || '.' || table_name AS table_name, column_name, data_type,
        is_nullable = 'NO' AND column_default IS NULL
            AND is_identity = 'NO' AND is_generated = 'NEVER' AS has_to_be_given
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_type = 'BASE TABLE' AND table_schema !~ '^(pg_|information_schema)' AND table_name <> 'migrations'
"""


async def test_migrations_only_add_to_what_the_oldest_program_knows(empty_database_url: str) -> None:
    """Or `OLDEST_PROGRAM` is raised, and the upgrade is one for which workers have to be stopped."""

    async def columns() -> dict[tuple[str, str], tuple[str, bool]]:
        async with database.transaction() as connection:
            found = await connection.execute(text(COLUMNS_OF_TABLES))
            return {(row.table_name, row.column_name): (row.data_type, row.has_to_be_given) for row in found}

    database = Database(empty_database_url)
    async with database.transaction() as connection:
        await connection.run_sync(upgrade_to, OLDEST_PROGRAM)
    before = await columns()
    await migrate(empty_database_url)
    after = await columns()
    await database.aclose()
    tables = {table for table, _ in before}
    assert len(before) > 1000
    changed = [name for name, (kind, _) in before.items() if name not in after or after[name][0] != kind]
    assert changed == [], "an older program reads and writes them"
    given_before = {name for name, (_, has_to_be_given) in before.items() if has_to_be_given}
    demanded = {name for name, (_, has_to_be_given) in after.items() if has_to_be_given and name[0] in tables}
    assert demanded - given_before == set(), "an older program does not write them"
