"""Columns are added ahead of a migration: only those that lack, and never while somebody uses the table."""

import pytest
from sqlalchemy import text

from pco_store import ahead
from pco_store.ahead import add_columns_ahead, build_indexes_ahead, lacking_columns
from pco_store.database import Database
from pco_store.errors import StoreUnavailable

PERSON = "people.person"


async def lacking(store: Database, columns: ahead.Columns) -> dict[str, list[str]]:
    async with store.transaction() as connection:
        return await connection.run_sync(lacking_columns, columns)


async def test_only_what_lacks_is_added_and_only_to_tables_that_exist(database: Database) -> None:
    columns = {PERSON: ["first_name", "one", "two"], "people.none_such": ["one"]}
    assert await lacking(database, columns) == {PERSON: ["one", "two"]}

    await add_columns_ahead(database, columns)
    assert await lacking(database, columns) == {}
    await add_columns_ahead(database, columns)

    async with database.transaction() as connection:
        assert await connection.scalar(text("SELECT to_regclass('people.none_such')")) is None


async def test_a_table_in_use_is_left_alone_and_gets_its_columns_afterwards(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "PATIENCE_SECONDS", 0.0)
    columns = {"giving.donation": ["one"], PERSON: ["one"]}
    async with database.transaction() as user:
        await user.execute(text("SELECT count(*) FROM people.person"))
        with pytest.raises(StoreUnavailable, match=r"people\.person is in use"):
            await add_columns_ahead(database, columns)
        assert (await lacking(database, columns)).keys() <= {PERSON, "giving.donation"}
        assert PERSON in await lacking(database, columns)
        async with database.transaction() as writer:
            await writer.execute(text("SET LOCAL lock_timeout = '1ms'"))
            await writer.execute(text("LOCK people.person IN ROW EXCLUSIVE MODE"))

    await add_columns_ahead(database, columns)
    assert await lacking(database, columns) == {}


async def test_an_index_is_not_waited_for_as_long_as_somebodys_transaction_lasts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump or an analyst's open transaction may last for hours; what is left of the attempt is thrown away."""
    monkeypatch.setattr(ahead, "PATIENCE_SECONDS", 0.2)
    index = {"runs_for_a_test": "ON sync.runs (org_id)"}
    async with database.transaction() as user:
        await user.execute(text("SELECT count(*) FROM sync.runs"))
        with pytest.raises(StoreUnavailable, match="a transaction that began before does not end, so that the index"):
            await build_indexes_ahead(database, index)
    monkeypatch.undo()
    await build_indexes_ahead(database, index)
    async with database.transaction() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'sync.runs_for_a_test'::regclass"
        assert await connection.scalar(text(valid))
        await connection.execute(text("DROP INDEX sync.runs_for_a_test"))
