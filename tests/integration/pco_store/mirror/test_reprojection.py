"""Values get from `extra` to their columns on a real Postgres, and nothing else of a row changes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import text

from deployments.operations.reproject import reproject_table
from pco_catalog.catalog import Entity
from pco_store.database import Database
from pco_store.mirror.reprojection import ColumnMove, move_to_columns
from tasks.rows.transform import transform_page
from tests.integration.mirror import PEOPLE, PERSON, at, person, rows, stored, upsert

WITHOUT = ("birthdate", "child", "first_name", "grade")
OLDER = replace(PERSON, attributes={name: one for name, one in PERSON.attributes.items() if name not in WITHOUT})
"""People as the catalogue knew them before it had these columns."""


def told(identity: int, **attributes: Any) -> Mapping[str, Any]:
    """A person of whom those attributes are told."""
    known = {"birthdate": "1815-12-10", "child": False, "first_name": "Ada", "grade": 3, "last_name": "Lovelace"}
    campus = {"primary_campus": {"data": {"type": "PrimaryCampus", "id": "5"}}}
    return {**person(identity, **{**known, **attributes}), "relationships": campus}


def made(*people: Mapping[str, Any], entity: Entity = PERSON, org_id: str = "grace") -> list[dict[str, object]]:
    """Their rows, as a catalogue makes them."""
    page = transform_page(people, entity=entity, org_id=org_id, epoch="turn-1", observed_at=at(1))
    return [{**dict.fromkeys(WITHOUT), **row} for row in page.rows]


async def as_of_today(store: Database, people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What would stand in the mirror if they were read today."""
    await upsert(store, made(*people, org_id="faith"))
    return {one: {**row._mapping, "org_id": "grace"} for one, row in (await stored(store, org_id="faith")).items()}


async def in_mirror(store: Database) -> dict[str, Any]:
    return {one: dict(row._mapping) for one, row in (await stored(store)).items()}


async def test_rows_of_an_older_catalogue_become_what_they_would_be_today(store: Database) -> None:
    awkward = [
        told(2, first_name="before\x00after"),
        told(3, grade="third", child=None),
        told(4, birthdate="1815-02-30", grade=int("9" * 30)),
    ]
    people = [told(1), *awkward, *(told(number, grade=number) for number in range(5, 9))]
    await upsert(store, made(*people, entity=OLDER))
    assert (await in_mirror(store))["1"]["first_name"] is None

    report = await reproject_table(store, PERSON, "grace", batch=3)

    assert (report.table, report.rows, report.moved, report.misfits) == ("people.person", 8, 8 * 4 - 4, 4)
    assert await in_mirror(store) == await as_of_today(store, people)
    again = await reproject_table(store, PERSON, "grace")
    assert (again.moved, again.misfits) == (0, 4)


async def test_one_church_or_all(store: Database) -> None:
    for org_id in ("faith", "grace", "mercy"):
        await upsert(store, made(told(1), told(2), entity=OLDER, org_id=org_id))
    assert (await reproject_table(store, PERSON, "grace", batch=1)).rows == 2
    assert (await stored(store, org_id="mercy"))["1"].first_name is None
    everywhere = await reproject_table(store, PERSON, None, batch=1)
    assert (everywhere.rows, everywhere.moved) == (4, 4 * 4)
    assert (await stored(store, org_id="mercy"))["1"].first_name == "Ada"


async def test_a_tombstone_stays(store: Database) -> None:
    await upsert(store, made(told(1), entity=OLDER))
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE people.person SET _deleted_at = :at, _deleted_reason = 'absent'"), {"at": at(2)}
        )
    await reproject_table(store, PERSON, "grace")
    row = (await stored(store))["1"]
    assert (row.first_name, row._deleted_at, row._deleted_reason, row._synced_at) == ("Ada", at(2), "absent", at(1))


async def test_a_relationship_to_one_gets_its_column(store: Database) -> None:
    campus = {"primary_campus": {"data": {"type": "Campus", "id": "5"}}, "odd": {"data": [{"id": "\x00"}]}}
    one = {**told(1), "relationships": campus}
    known = {name: edge for name, edge in PERSON.relationships.items() if name != "primary_campus"}
    blind = replace(PERSON, relationships=known)
    await upsert(store, [{"primary_campus_id": None, **row} for row in made(one, entity=blind)])
    assert (await reproject_table(store, PERSON, "grace")).moved == 1
    row, today = (await in_mirror(store))["1"], (await as_of_today(store, [one]))["1"]
    assert {**row, "_content_hash": None} == {**today, "_content_hash": None}


async def test_a_row_that_a_sync_has_written_meanwhile_is_left_to_it(store: Database) -> None:
    await upsert(store, made(told(1), entity=OLDER))
    before = (await stored(store))["1"]
    await upsert(store, rows(person(1, updated=2, first_name="Countess"), observed=3))

    move = ColumnMove(
        key=("grace", "1"),
        content_hash=before._content_hash,
        values={"first_name": "Ada"},
        dropped=["first_name"],
        put="{}",
    )
    async with store.statement() as connection:
        assert await move_to_columns(connection, PEOPLE, [move]) == set()

    assert (await stored(store))["1"].first_name == "Countess"
