"""Every table, view and column of ours has a comment in Postgres; nobody waits for it, and nothing is written twice."""

from typing import Any

import pytest

from embedded.postgres import Postgres
from pco_catalog import load_catalog
from pco_store.churches.readers import drop_readers, make_reader
from pco_store.comments import publishing
from pco_store.comments.mirror import mirror_comments
from pco_store.comments.publishing import all_comments, publish_comments
from pco_store.database import Database
from pco_store.migrate import migrate
from tests.integration.pco_store.churches.test_readers import as_reader
from tests.integration.views import select

OURS = """
    SELECT n.nspname || '.' || c.relname AS relation, '' AS name, obj_description(c.oid, 'pg_class') AS words
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname !~ '^(pg_|information_schema)'
    UNION ALL
    SELECT n.nspname || '.' || c.relname, a.attname, col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname !~ '^(pg_|information_schema)'
      AND a.attnum > 0 AND NOT a.attisdropped
"""
WRITTEN = "SELECT objoid, objsubid, ctid::text, xmin::text FROM pg_description WHERE objoid >= 16384"
PERSON = "people.person"


async def without_words(database: Database) -> set[str]:
    """The relations that lack a comment, or whose columns do."""
    return {row["relation"] for row in await select(database, OURS) if not row["words"]}


async def written(database: Database) -> set[tuple[Any, ...]]:
    """Which versions of which comments are stored; another version of one has another place."""
    return {tuple(row.values()) for row in await select(database, WRITTEN)}


async def test_every_table_view_and_column_of_ours_has_words(database: Database) -> None:
    found = await select(database, OURS)
    assert len(found) > 4000
    assert [f"{row['relation']}.{row['name']}" for row in found if not row["words"]] == []


async def test_words_are_for_what_is_there(database: Database) -> None:
    there = {(row["relation"], row["name"]) for row in await select(database, OURS)}
    told = {(relation, name) for relation, words in all_comments().items() for name in words}
    assert told - there == set()


async def test_what_is_published_is_not_written_again(database: Database, database_url: str) -> None:
    before = await written(database)
    assert len(before) > 4000
    await migrate(database_url)
    assert await written(database) == before


async def test_only_what_differs_is_written(database: Database, database_url: str) -> None:
    words = {row["relation"] + "." + row["name"]: row["words"] for row in await select(database, OURS)}
    before = await written(database)
    await select(database, "COMMENT ON COLUMN people.person.birthdate IS 'in other words'")
    await select(database, "COMMENT ON TABLE sync.runs IS NULL")
    await migrate(database_url)
    assert len(await written(database) - before) == 2
    assert {row["relation"] + "." + row["name"]: row["words"] for row in await select(database, OURS)} == words


async def test_neither_readers_nor_writers_are_waited_for(database: Database) -> None:
    await select(database, "COMMENT ON COLUMN people.person.birthdate IS NULL")
    async with database.transaction() as user:
        await user.exec_driver_sql("LOCK people.person IN ROW EXCLUSIVE MODE")
        await publish_comments(database)
        assert await without_words(database) == set()


async def test_a_table_that_is_vacuumed_is_left_to_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PATIENCE_SECONDS", 0.0)
    for table in (PERSON, "people.tab"):
        await select(database, f"COMMENT ON TABLE {table} IS NULL")
    async with database.transaction() as vacuum:
        await vacuum.exec_driver_sql("LOCK people.person IN SHARE UPDATE EXCLUSIVE MODE")
        await publish_comments(database)
        assert await without_words(database) == {PERSON}
    await publish_comments(database)
    assert await without_words(database) == set()


async def test_a_reader_of_one_church_sees_the_words(database: Database, database_url: str, postgres: Postgres) -> None:
    session = await as_reader(postgres, database_url, await make_reader(database, "grace"))
    words = await session.fetchval(
        "SELECT col_description('people.person'::regclass, attnum) FROM pg_attribute "
        "WHERE attrelid = 'people.person'::regclass AND attname = 'primary_campus_id'"
    )
    assert words == "Relationship primary_campus. Documented as the id of a PrimaryCampus."
    await session.close()
    await drop_readers(database, "grace")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("people.tab.", "people.Tab of Planning Center, API version 2026-06-04. Listed at /people/v2/tabs. A row per "
         "church and record; one that is gone keeps its row, with _deleted_at."),
        ("giving.refund.", "giving.Refund of Planning Center, API version 2019-10-18. Comes with giving.Donation by "
         "include=refund. A row per church and record; one that is gone keeps its row, with _deleted_at."),
        ("people.person.birthdate", "Attribute of type date."),
        ("people.person.mfa_configured", "Attribute of type boolean. Sent only on request. NULL where no reading has "
         "shown it."),
        ("people.note.person_id", "Attribute of type primary_key. Documented as the id of a people.Person, in "
         "people.person."),
        ("people.person.created_by_id", "Relationship created_by. Documented as the id of a people.Person, in "
         "people.person. Sent only on request. NULL where no reading has shown it."),
        ("giving.designation.donation_id", "Relationship donation. Documented as the id of a giving.Donation, in "
         "giving.donation. Not sent with the record: known from where it is listed. NULL where no reading has shown "
         "it."),
        ("people.field_datum.person_id", "Ancestor: the id in /people/v2/people/{person_id}/field_data. NULL where no "
         "reading has shown it."),
    ],
)  # fmt: skip
def test_the_mirrors_words_are_what_the_catalogue_knows(column: str, words: str) -> None:
    relation, _, name = column.rpartition(".")
    assert mirror_comments(load_catalog())[relation][name] == words
