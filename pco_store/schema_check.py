"""Whether the database is at the schema that this program needs; without Alembic, which is slow to import."""

from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import SchemaMissing, SchemaNewer, SchemaOutdated

VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"

OLDEST_PROGRAM: Final = "0021"
"""Programs that know the migrations up to this one still work on today's tables, and may be running while they are
migrated. Migrations after it only add. One that takes something away, or needs what such a program does not write,
raises this: then they are refused, and workers have to be stopped for that upgrade."""


def known_migrations() -> list[str]:
    """The numbers of all migrations, oldest first: a file is named after its own, and they follow each other."""
    return sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))


def newest_migration() -> str:
    """The migration that this program needs."""
    return known_migrations()[-1]


async def found_migration(connection: AsyncConnection) -> str | None:
    """The migration the database is at; None if it has no tables of ours."""
    if await connection.scalar(text("SELECT to_regclass('sync.migrations')")) is None:
        return None
    found: str | None = await connection.scalar(text("SELECT version_num FROM sync.migrations"))
    return found


async def oldest_program(connection: AsyncConnection) -> str | None:
    """The oldest migration whose programs work on the tables there; None if those were never told."""
    found: str | None = await connection.scalar(
        text("SELECT to_jsonb(migrations) ->> 'oldest_program' FROM sync.migrations")
    )
    return found


async def check_schema(connection: AsyncConnection) -> None:
    """Raises `SchemaMissing`, `SchemaOutdated` or `SchemaNewer`; they say what to do.

    Tables that a newer program has migrated will do as long as it says that this one works on them.
    """
    found = await found_migration(connection)
    known = known_migrations()
    if found is None:
        raise SchemaMissing
    if found == known[-1]:
        return
    if found in known:
        raise SchemaOutdated(found, known[-1])
    oldest = await oldest_program(connection)
    if oldest is None or known[-1] < oldest:
        raise SchemaNewer(found, known[-1])
