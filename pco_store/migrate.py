"""Bring a database to the schema this program needs, and check whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database
from pco_store.errors import SchemaMissing, SchemaNewer, SchemaOutdated

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(url: str) -> str:
    """Apply every migration that is missing, and return the one the database is at now.

    Safe to repeat, and to run from two places at once: the second waits. Raises `StoreUnavailable`, `SchemaNewer`.
    """
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('pco-sync:migrate', 0))"))
            found = await _found(connection)
            if found is not None and found not in _known():
                raise SchemaNewer(found, newest_migration())
            await connection.run_sync(_upgrade)
    finally:
        await database.aclose()
    return newest_migration()


async def check_schema(connection: AsyncConnection) -> None:
    """Raises `SchemaMissing`, `SchemaOutdated` or `SchemaNewer`; they say what to do."""
    found = await _found(connection)
    expected = newest_migration()
    if found is None:
        raise SchemaMissing
    if found == expected:
        return
    raise SchemaOutdated(found, expected) if found in _known() else SchemaNewer(found, expected)


def newest_migration() -> str:
    """The migration that this program needs."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


async def _found(connection: AsyncConnection) -> str | None:
    if await connection.scalar(text("SELECT to_regclass('sync.migrations')")) is None:
        return None
    found: str | None = await connection.scalar(text("SELECT version_num FROM sync.migrations"))
    return found


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
