"""The move of People to API version 2026-06-04 loses nothing, rewrites no table, and lets a full read come first."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.migrate import migrate
from pco_store.schema_check import VERSIONS
from tasks.rows.reprojection import reproject

MIGRATION = "0008"


def _upgrade_to_the_one_before(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(VERSIONS).parent))
    config.attributes["connection"] = connection
    before = ScriptDirectory.from_config(config).get_revision(MIGRATION).down_revision
    command.upgrade(config, str(before))


@pytest.fixture
async def before(empty_database_url: str) -> AsyncIterator[Database]:
    """A database as it was before the migration."""
    database = Database(empty_database_url)
    async with database.transaction() as connection:
        await connection.run_sync(_upgrade_to_the_one_before)
    yield database
    await database.aclose()


async def put(database: Database, table: str, identity: str, *, deleted: bool = False, **columns: str) -> None:
    """A row of the mirror; values are SQL."""
    extra = columns.pop("extra", "'{}'")
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    gone = "now()" if deleted else "NULL"
    async with database.transaction() as connection:
        await connection.execute(
            text(
                f"INSERT INTO {table} (org_id, id, extra, _synced_at, _epoch, _deleted_at, _content_hash{names}) "
                f"VALUES ('grace', '{identity}', {extra}, now(), 'e', {gone}, 'hash'{values})"
            )
        )


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def test_what_the_columns_held_is_kept_and_can_be_brought_to_the_new_ones(
    before: Database, empty_database_url: str
) -> None:
    await put(before, "people.field_datum", "1", file="'https://example.org/a.pdf'", value="'a'")
    await put(before, "people.field_datum", "2", value="'b'")
    await put(before, "people.campus", "1", latitude="42.5", extra="""'{"longitude": "-71.02"}'""")
    await put(before, "services.folder", "1", ancestors_id="'7'", parent_id="'7'")

    await migrate(empty_database_url)

    assert await rows(before, "SELECT id, file, value, extra ->> 'file' FROM people.field_datum ORDER BY id") == [
        ("1", None, "a", "https://example.org/a.pdf"),
        ("2", None, "b", None),
    ]
    ((extra,),) = await rows(before, "SELECT extra FROM people.campus")
    assert extra == {"latitude": 42.5, "longitude": "-71.02"}
    ((folder,),) = await rows(before, "SELECT extra FROM services.folder")
    assert folder == {"_relationships": {"ancestors": {"data": {"type": "Folder", "id": "7"}}}}
    empty = dict.fromkeys(load_catalog().entity("people.Campus").attributes)
    moved = reproject(load_catalog().entity("people.Campus"), {**empty, "organization_id": None}, extra)
    assert (moved.values, moved.dropped, moved.misfits) == ({"longitude": "-71.02"}, ("longitude",), 1)


async def test_of_millions_only_the_tombstones_are_touched(before: Database, empty_database_url: str) -> None:
    await put(before, "people.field_datum", "gone", deleted=True, file="'https://example.org/gone.pdf'")
    async with before.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO people.field_datum (org_id, id, file, _synced_at, _epoch, _content_hash) "
                "SELECT 'grace', n::text, 'a', now(), 'e', 'hash' FROM generate_series(1, 3000) AS n"
            )
        )
    where = "SELECT id, ctid::text FROM people.field_datum WHERE id <> 'gone' ORDER BY id"
    places = await rows(before, where)

    await migrate(empty_database_url)

    assert await rows(before, where) == places, "no row was written again"
    assert await rows(before, "SELECT id FROM people.field_datum WHERE extra ? 'file'") == [("gone",)]


async def test_a_view_of_somebodys_own_keeps_working(before: Database, empty_database_url: str) -> None:
    await put(before, "people.field_datum", "1", file="'https://example.org/a.pdf'")
    async with before.transaction() as connection:
        await connection.execute(text("CREATE VIEW public.files AS SELECT id, file FROM people.field_datum"))

    await migrate(empty_database_url)

    assert await rows(before, "SELECT * FROM public.files") == [("1", "https://example.org/a.pdf")]
    assert await rows(before, "SELECT file FROM people.field_datum") == [(None,)]


async def test_a_full_read_comes_before_the_first_delta_of_field_data(
    before: Database, empty_database_url: str
) -> None:
    async with before.transaction() as connection:
        for entity in ("people.FieldDatum", "people.Person"):
            await connection.execute(
                text(
                    "INSERT INTO sync.watermarks (org_id, entity, scope, watermark, run_id) "
                    "VALUES ('grace', :entity, '', now(), 1)"
                ),
                {"entity": entity},
            )

    await migrate(empty_database_url)

    assert await rows(before, "SELECT entity FROM sync.watermarks") == [("people.Person",)]
