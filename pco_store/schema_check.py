"""Whether the database is at the schema that this program needs; without Alembic, which is slow to import."""

from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import SchemaMissing, SchemaNewer, SchemaOutdated

VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"


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


async def check_schema(connection: AsyncConnection) -> None:
    """Raises `SchemaMissing`, `SchemaOutdated` or `SchemaNewer`; they say what to do."""
    found = await found_migration(connection)
    known = known_migrations()
    if found is None:
        raise SchemaMissing
    if found == known[-1]:
        return
    raise SchemaOutdated(found, known[-1]) if found in known else SchemaNewer(found, known[-1])
