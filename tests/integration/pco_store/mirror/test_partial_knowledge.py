"""What one way of reading does not know never overwrites what another way knew (I14), on a real Postgres."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from pco_catalog import Entity, load_catalog
from pco_catalog.ancestors import ids_in, own_ids_in
from pco_store.database import Database
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import upsert_rows
from tasks.rows.transform import transform_page
from tests.integration.mirror import at, person, rows, stored, upsert

CATALOG = load_catalog()
MEMBERSHIP = CATALOG.entity("people.HouseholdMembership")
TABLE = mirror_table(MEMBERSHIP)


def read(
    record: Mapping[str, Any],
    entity: Entity,
    *,
    org_id: str = "grace",
    below: str = "",
    scope: str = "",
    observed: float = 0,
) -> list[dict[str, object]]:
    """The row of a record that was shown by the list at a path, or at top level."""
    parents = own_ids_in(entity, below, scope) if below else {}
    page = transform_page(
        [record], entity=entity, org_id=org_id, epoch=f"turn-{observed}", observed_at=at(observed), parents=parents
    )
    return page.rows


def membership(name: str = "Ada", *, person: str | None = "7") -> dict[str, Any]:
    data = None if person is None else {"type": "Person", "id": person}
    return {
        "type": "HouseholdMembership",
        "id": "1",
        "attributes": {"person_name": name},
        "relationships": {"person": {"data": data}},
    }


def below_household(record: Mapping[str, Any], household: str = "12", *, observed: float) -> list[dict[str, object]]:
    path = "/people/v2/households/{household_id}/household_memberships"
    return read(record, MEMBERSHIP, below=path, scope=household, observed=observed)


def below_person(record: Mapping[str, Any], *, observed: float) -> list[dict[str, object]]:
    path = "/people/v2/people/{person_id}/household_memberships"
    return read(record, MEMBERSHIP, below=path, scope="7", observed=observed)


async def only_row(store: Database) -> Any:
    return (await stored(store, table=TABLE))["1"]


async def test_a_way_that_does_not_know_the_parent_leaves_it(store: Database) -> None:
    await upsert(store, below_household(membership(), observed=1), table=TABLE)
    assert await upsert(store, below_person(membership("Changed"), observed=2), table=TABLE) == (0, 1, 0, 0)
    row = await only_row(store)
    assert (row.household_id, row.person_id, row.person_name) == ("12", "7", "Changed")


async def test_an_older_observation_adds_what_it_tells_and_nothing_else(store: Database) -> None:
    await upsert(store, below_person(membership("New"), observed=5), table=TABLE)
    assert await upsert(store, below_household(membership("Old"), observed=3), table=TABLE) == (0, 1, 0, 0)
    row = await only_row(store)
    assert (row.household_id, row.person_name, row._synced_at, row._epoch) == ("12", "New", at(5), "turn-5")


async def test_another_parent_wins_if_it_was_seen_later_and_not_if_earlier(store: Database) -> None:
    await upsert(store, below_household(membership(), "12", observed=2), table=TABLE)
    assert await upsert(store, below_household(membership(), "13", observed=4), table=TABLE) == (0, 1, 0, 0)
    assert (await only_row(store)).household_id == "13"
    assert await upsert(store, below_household(membership(), "12", observed=3), table=TABLE) == (0, 0, 1, 0)
    assert (await only_row(store)).household_id == "13"


async def test_a_parent_that_is_known_to_be_none_is_erased_and_one_that_is_not_mentioned_stays(
    store: Database,
) -> None:
    await upsert(store, below_household(membership(), observed=1), table=TABLE)
    thin = {**membership("Thin"), "relationships": {"person": {"links": {"related": "https://api.example/7"}}}}
    assert await upsert(store, below_household(thin, observed=2), table=TABLE) == (0, 1, 0, 0)
    assert ((await only_row(store)).person_id, (await only_row(store)).person_name) == ("7", "Thin")

    assert await upsert(store, below_household(membership("Thin", person=None), observed=3), table=TABLE) == (
        0,
        1,
        0,
        0,
    )
    assert (await only_row(store)).person_id is None


async def test_a_thin_copy_of_the_same_content_writes_nothing(store: Database) -> None:
    await upsert(store, below_household(membership(), observed=1), table=TABLE)
    before = await version(store)
    thin = {**membership(), "relationships": {}}
    for page in (below_household(thin, observed=2), below_household(membership(), observed=3)):
        assert await upsert(store, page, table=TABLE) == (0, 0, 1, 0)
    assert await version(store) == before


async def version(store: Database) -> str:
    """Changes with every write of the table's rows, whatever it does."""
    async with store.transaction() as connection:
        found = await connection.scalar(
            text("SELECT string_agg(id || ctid::text, ' ' ORDER BY id) FROM people.household_membership")
        )
        return str(found)


def known(entity: Entity, draw: Random) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """A record with everything that can be told of it, the ids that paths tell, and what its row must hold of both."""
    relationships, columns = {}, {}
    for name, one in entity.relationships.items():
        data = {"type": one.resource, "id": str(draw.randint(1, 99))}
        relationships[name] = {"data": [data] if one.many else data}
        if not one.many and f"{name}_id" not in entity.attributes:
            columns[f"{name}_id"] = data["id"]
    names = {name for path in entity.list_paths for name in ids_in(path)}
    ids = {name: columns.get(name, str(draw.randint(1, 99))) for name in sorted(names)}
    attributes = {name: draw.choice(["a", "b"]) for name, one in entity.attributes.items() if one.type == "string"}
    record = {"type": entity.resource, "id": "1", "attributes": attributes, "relationships": relationships}
    own = {
        f"{name}_id": one
        for path in entity.list_paths
        if "{" in path
        for name, one in own_ids_in(entity, path, "/".join(ids[name] for name in ids_in(path))).items()
        if f"{name}_id" not in entity.attributes
    }
    on_request = {name: attributes[name] for name in attributes if entity.attributes[name].on_request}
    return record, ids, {**own, **columns, **on_request}


def as_shown(record: Mapping[str, Any], entity: Entity, draw: Random) -> dict[str, Any]:
    """The record by a way that tells less of it: nothing on request, only some relationships."""
    attributes = {
        name: one
        for name, one in record["attributes"].items()
        if not entity.attributes[name].on_request or draw.random() < 0.3
    }
    relationships = {name: one for name, one in record["relationships"].items() if draw.random() < 0.6}
    return {**record, "attributes": attributes, "relationships": relationships}


@pytest.mark.parametrize("seed", [1])
async def test_whatever_ways_a_record_of_any_kind_is_read_by_all_that_one_of_them_tells_stands_in_the_end(
    store: Database, seed: int
) -> None:
    """First one list shows all that it can, then others the same or less, observed before it or after it."""
    draw, church = Random(seed), f"church-{seed}"
    for entity in (one for one in CATALOG.entities() if one.list_paths):

        def made(shape: Any, path: str, scope: str, observed: int, entity: Entity = entity) -> list[dict[str, object]]:
            below = path if "{" in path else ""
            return read(shape, entity, org_id=church, below=below, scope=scope, observed=observed)

        record, ids, expected = known(entity, draw)
        full = [(record, path) for path in entity.list_paths]
        poor = [(as_shown(record, entity, draw), draw.choice(entity.list_paths)) for _ in range(2)]
        order = [full[0], *draw.sample(full[1:] + poor, k=len(full) - 1 + len(poor))]
        table = mirror_table(entity)
        async with store.transaction() as connection:
            for observed, (shape, path) in zip(draw.sample(range(len(order)), k=len(order)), order, strict=True):
                scope = "/".join(ids[name] for name in ids_in(path))
                await upsert_rows(connection, table, made(shape, path, scope, observed))
        row = (await stored(store, table=table, org_id=church))["1"]._mapping
        assert {name: row[name] for name in expected} == expected, entity.name
        kept = row["extra"].get("_relationships", {})
        many = {name: one for name, one in record["relationships"].items() if entity.relationships[name].many}
        assert {name: kept.get(name) for name in many} == many, entity.name


async def age_hashes(store: Database, entity: Entity) -> None:
    """As rows were before: 16 bytes, over whatever the request had shown."""
    async with store.transaction() as connection:
        table = f'"{entity.schema_name}"."{entity.table_name}"'
        await connection.execute(text(f"UPDATE {table} SET _content_hash = decode(md5(id), 'hex')"))


PERSON = CATALOG.entity("people.Person")


async def test_a_row_with_an_old_hash_takes_over_the_new_one_and_nothing_else(store: Database) -> None:
    odd = {"primary_campus": {"data": {"type": "PrimaryCampus", "id": "5"}}}
    people = [
        {**person(1, first_name="Ada", unheard_of=[1], grade="third"), "relationships": odd},
        person(2, birthdate="1815-12-10", child=False),
    ]
    await upsert(store, rows(*people, observed=1))
    expected = {one: row._content_hash for one, row in (await stored(store)).items()}
    await age_hashes(store, PERSON)

    page = rows(*people, observed=9)
    assert await upsert(store, [{**row, "_epoch": "turn-9"} for row in page]) == (0, 0, 2, 0)

    mirror = await stored(store)
    assert {one: row._content_hash for one, row in mirror.items()} == expected
    assert {(row._synced_at, row._epoch) for row in mirror.values()} == {(at(1), "turn-1")}


@pytest.mark.parametrize(
    ("updated", "observed", "counted", "name"),
    [(0, 9, (0, 1, 0, 0), "Bob"), (-1, 9, (0, 0, 0, 1), "Ada"), (0, 0.5, (0, 0, 0, 1), "Ada")],
    ids=["newer", "older by updated_at", "older by observation"],
)
async def test_a_row_with_an_old_hash_is_changed_by_newer_content_only(
    store: Database, updated: float, observed: float, counted: tuple[int, ...], name: str
) -> None:
    await upsert(store, rows(person(1, first_name="Ada"), observed=1))
    await age_hashes(store, PERSON)
    assert await upsert(store, rows(person(1, first_name="Bob", updated=updated), observed=observed)) == counted
    assert (await stored(store))["1"].first_name == name


async def test_a_tombstone_of_a_row_with_an_old_hash_is_lifted_and_not_by_an_older_page(store: Database) -> None:
    await upsert(store, rows(person(1), observed=1))
    await age_hashes(store, PERSON)
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE people.person SET _deleted_at = :at"), {"at": at(2)})
    assert await upsert(store, rows(person(1), observed=1.5)) == (0, 0, 1, 0)
    assert (await stored(store))["1"]._deleted_at == at(2)
    await age_hashes(store, PERSON)
    assert await upsert(store, rows(person(1), observed=3)) == (0, 1, 0, 0)
    assert (await stored(store))["1"]._deleted_at is None
