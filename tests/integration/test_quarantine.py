"""What could not be stored is kept raw until it is seen again, and told church by church."""

from dataclasses import replace

from pco_store.database import Database
from pco_store.quarantine import Quarantined, list_quarantined, put_quarantined

RECORD = Quarantined(
    org_id="grace",
    entity="people.Person",
    run_id=1,
    reading=1,
    offset=100,
    record_id="7",
    reason="the record has no type",
    raw='{"id": "7", "nul": "\\u0000", "lone": "\\ud800"}',
)
PLACE = replace(RECORD, record_id=None, reason="cannot be fetched", raw=None)


async def put(store: Database, *items: Quarantined) -> None:
    async with store.transaction() as connection:
        await put_quarantined(connection, items)


async def waiting(store: Database, org_id: str = "grace", entity: str | None = None) -> list[Quarantined]:
    async with store.transaction() as connection:
        return await list_quarantined(connection, org_id, entity)


async def test_items_are_kept_as_they_were_and_listed_oldest_first(store: Database) -> None:
    nameless = replace(RECORD, record_id=None)
    await put(store, RECORD)
    await put(store, PLACE, nameless)
    assert await waiting(store) == [RECORD, PLACE, nameless]


async def test_nothing_to_keep_is_nothing_kept(store: Database) -> None:
    await put(store)
    assert await waiting(store) == []


async def test_they_are_listed_by_church_and_by_entity(store: Database) -> None:
    faith, group = replace(RECORD, org_id="faith"), replace(RECORD, entity="groups.Group")
    await put(store, RECORD, faith, group)
    assert await waiting(store) == [RECORD, group]
    assert await waiting(store, "grace", "groups.Group") == [group]
    assert await waiting(store, "faith") == [faith]


async def test_what_a_later_run_puts_aside_again_is_listed_once(store: Database) -> None:
    await put(store, RECORD, PLACE)
    later = [replace(RECORD, run_id=2, offset=0), replace(PLACE, run_id=2)]
    await put(store, *later)
    assert await waiting(store) == later


async def test_a_place_that_is_put_aside_again_says_nothing_about_the_records_there(store: Database) -> None:
    await put(store, RECORD, PLACE)
    later = replace(PLACE, run_id=2)
    await put(store, later)
    assert await waiting(store) == [RECORD, later]


async def test_another_record_another_place_and_another_church_stay_listed(store: Database) -> None:
    await put(store, RECORD, PLACE, replace(RECORD, org_id="faith"))
    await put(store, replace(RECORD, run_id=2, record_id="8"), replace(PLACE, run_id=2, offset=200))
    assert len(await waiting(store)) == 4
    assert len(await waiting(store, "faith")) == 1
