"""Bring a database to the schema this program needs."""

import asyncio
import time
from collections.abc import Callable
from types import ModuleType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from pco_store.ahead import (
    LOCK_MILLISECONDS,
    ONE_AT_A_TIME,
    PATIENCE_SECONDS,
    PAUSE_SECONDS,
    add_columns_ahead,
    build_indexes_ahead,
)
from pco_store.churches.readers import wall_off
from pco_store.comments.publishing import publish_comments
from pco_store.database import Database
from pco_store.errors import SchemaNewer, StoreInUse, StoreUnavailable
from pco_store.freshness.kinds import publish_kinds
from pco_store.ledger.ancestors import Filled, fill_ancestors
from pco_store.schema_check import (
    OLDEST_PROGRAM,
    VERSIONS,
    found_migration,
    known_migrations,
    newest_migration,
)


async def migrate(url: str) -> str:
    """Apply every migration that is missing, and return the one the database is at now.

    Safe to interrupt, to repeat, and to run from two places at once: the second waits. Each migration of a database in
    use is a transaction of its own, so that what it locks is free again before the next one begins. Raises
    `StoreUnavailable`, also when tables are in use all the time, and `SchemaNewer`.
    """
    async with Database(url, pool_size=1) as database:
        async with database.transaction() as connection:
            found = await found_migration(connection)
        if found in known_migrations():
            await _tell_oldest_program(database)  # before a table loses anything
        for module in _pending(found):
            await add_columns_ahead(database, getattr(module, "AHEAD", {}))
            await build_indexes_ahead(database, getattr(module, "INDEXES_AHEAD", {}))
            await _apply(database, module.revision)
        await _apply(database, newest_migration())  # of an empty database all at once; and it may be newer than we are
        await _tell_oldest_program(database)
        await publish_kinds(database)
        await wall_off(database)
        await publish_comments(database)
    return newest_migration()


async def _tell_oldest_program(database: Database) -> None:
    """Let programs of other versions know whether they work on these tables; never less strictly than before."""
    await add_columns_ahead(database, {"sync.migrations": ["oldest_program"]})  # each sync reads that table
    async with database.transaction() as connection:
        await connection.execute(text(ONE_AT_A_TIME))
        await connection.execute(
            text("UPDATE sync.migrations SET oldest_program = :ours WHERE coalesce(oldest_program, '') < :ours"),
            {"ours": OLDEST_PROGRAM},
        )


async def fill_from_ledger(url: str, report: Callable[[Filled], None]) -> Filled:
    """Fill what new columns and tables can know of what is there (`pco_store.ledger.ancestors`); after `migrate`.

    Safe to interrupt, to repeat, and while syncs run. Raises `StoreUnavailable`.
    """
    async with Database(url, pool_size=1) as database:
        return await fill_ancestors(database, report)


async def _apply(database: Database, revision: str) -> None:
    """Apply what is lacking up to this migration. Somebody's lock is waited for briefly, for others queue behind us."""
    patience_until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with database.transaction() as connection:
                await connection.execute(text(ONE_AT_A_TIME))
                found = await found_migration(connection)
                if found is not None and found not in known_migrations():
                    raise SchemaNewer(found, newest_migration())
                if found is None or found < revision:
                    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'"))
                    await connection.run_sync(_upgrade, revision)
                return
        except StoreInUse:
            if time.monotonic() > patience_until:
                raise StoreUnavailable(
                    f"tables are in use all the time, so that migration {revision} cannot change them"
                ) from None
        await asyncio.sleep(PAUSE_SECONDS)


def _pending(found: str | None) -> list[ModuleType]:
    """The migrations that a database in use lacks, oldest first. What is in the way of one is made before it.

    `AHEAD`: columns of tables that may be in use; `INDEXES_AHEAD`: those of large tables.
    """
    if found is None:
        return []
    pending = (one for one in ScriptDirectory.from_config(_config()).walk_revisions() if one.revision > found)
    return [one.module for one in reversed(list(pending))]


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    return config
