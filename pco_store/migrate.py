"""Bring a database to the schema this program needs."""

from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from pco_store.ahead import Columns, add_columns_ahead
from pco_store.database import Database
from pco_store.errors import SchemaNewer
from pco_store.freshness.kinds import publish_kinds
from pco_store.ledger.ancestors import Filled, fill_ancestors
from pco_store.schema_check import VERSIONS, found_migration, known_migrations, newest_migration


async def migrate(url: str) -> str:
    """Apply every migration that is missing, and return the one the database is at now.

    Safe to repeat, and to run from two places at once: the second waits. Raises `StoreUnavailable`, `SchemaNewer`.
    """
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            found = await found_migration(connection)
        for columns in _ahead_of(found):
            await add_columns_ahead(database, columns)
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('pco-sync:migrate', 0))"))
            found = await found_migration(connection)
            if found is not None and found not in known_migrations():
                raise SchemaNewer(found, newest_migration())
            await connection.run_sync(_upgrade)
        await publish_kinds(database)
    finally:
        await database.aclose()
    return newest_migration()


async def fill_from_ledger(url: str, report: Callable[[Filled], None]) -> Filled:
    """Fill what new columns and tables can know of what is there (`pco_store.ledger.ancestors`); after `migrate`.

    Safe to interrupt, to repeat, and while syncs run. Raises `StoreUnavailable`.
    """
    database = Database(url, pool_size=1)
    try:
        return await fill_ancestors(database, report)
    finally:
        await database.aclose()


def _ahead_of(found: str | None) -> list[Columns]:
    """The columns that pending migrations name for tables that may be in use, oldest migration first."""
    if found is None:
        return []
    pending = (one for one in ScriptDirectory.from_config(_config()).walk_revisions() if one.revision > found)
    return [one.module.AHEAD for one in reversed(list(pending)) if hasattr(one.module, "AHEAD")]


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    return config
