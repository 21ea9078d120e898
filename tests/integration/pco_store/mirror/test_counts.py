"""How much of a church is in the mirror."""

from sqlalchemy import text

from pco_store.database import Database
from pco_store.mirror.counts import TableCount, count_rows
from tests.integration.mirror import PEOPLE, at, person, rows, upsert


async def count(store: Database, org_id: str) -> TableCount:
    async with store.transaction() as connection:
        return await count_rows(connection, PEOPLE, org_id)


async def test_live_rows_and_tombstones_are_counted_church_by_church(store: Database) -> None:
    await upsert(store, rows(person(1), person(2), observed=1))
    await upsert(store, rows(person(3), observed=2))
    await upsert(store, rows(person(1), observed=9, org_id="faith"))
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE people.person SET _deleted_at = now() WHERE id = '2'"))

    assert await count(store, "grace") == TableCount(table="people.person", live=2, tombstones=1, last_written=at(2))


async def test_a_church_that_was_never_synced_has_nothing(store: Database) -> None:
    assert await count(store, "nobody") == TableCount(table="people.person", live=0, tombstones=0, last_written=None)
