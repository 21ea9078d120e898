"""The plain statement of an upsert does what the long one does, whatever stands in the table."""

from dataclasses import asdict
from random import Random
from typing import Any

import pytest
from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog import Entity, load_catalog
from pco_store.database import Database
from pco_store.mirror.tables import mirror_table, quoted_name
from pco_store.mirror.upsert import fetch, is_plain, page_text, upsert_ctes, upsert_rows
from tasks.rows.transform import transform_page
from tests.integration.mirror import at, stored

CATALOG = load_catalog()
KINDS = ("people.HouseholdMembership", "giving.Donation", "check-ins.CheckIn")
PAGES = 60


def record(entity: Entity, identity: int, chance: Random) -> dict[str, Any]:
    """One of few contents, that shows all that PCO renders for its kind, and now and then what an include adds."""
    relationships: dict[str, Any] = {}
    for name, one in entity.relationships.items():
        if one.is_always_rendered:
            pointer = {"type": one.resource, "id": str(chance.randint(1, 2))}
            relationships[name] = {"data": [pointer] if one.many else chance.choice([pointer, None])}
    if chance.random() < 0.2:
        relationships["included"] = {"data": [{"type": "Thing", "id": "1"}]}
    attributes = {"updated_at": at(chance.randint(0, 3)).isoformat().replace("+00:00", "Z")}
    attributes |= {name: chance.choice(["a", "b"]) for name, one in entity.attributes.items() if one.type == "string"}
    return {
        "type": entity.resource,
        "id": str(identity),
        "attributes": {name: value for name, value in attributes.items() if name in entity.attributes},
        "relationships": relationships,
    }


def page(entity: Entity, org_id: str, chance: Random, number: int) -> list[dict[str, object]]:
    """Some of ten records, observed in any order; now and then a parent is known that was not, or another one."""
    told = mirror_table(entity).info["told"]
    parents = {name.removesuffix("_id"): str(chance.randint(1, 2)) for name in told if chance.random() < 0.5}
    chosen = sorted(chance.sample(range(10), chance.randint(1, 6)))
    return transform_page(
        [record(entity, one, chance) for one in chosen],
        entity=entity,
        org_id=org_id,
        epoch=f"turn-{number}",
        observed_at=at(chance.randint(0, 6)),
        parents=parents,
    ).rows


async def contents(store: Database, table: Table, org_id: str) -> dict[str, dict[str, Any]]:
    rows = await stored(store, table=table, org_id=org_id)
    return {one: {name: value for name, value in row._mapping.items() if name != "org_id"} for one, row in rows.items()}


@pytest.mark.parametrize("kind", KINDS)
async def test_both_statements_leave_the_same_rows_and_count_the_same(store: Database, kind: str) -> None:
    entity = CATALOG.entity(kind)
    table = mirror_table(entity)
    for number in range(PAGES):
        mine, theirs = page(entity, "plain", Random(number), number), page(entity, "long", Random(number), number)
        assert is_plain(mine)
        async with store.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            counted = await upsert_rows(connection, table, mine)
            statement = f"WITH {upsert_ctes([table])} SELECT * FROM counts0"
            (expected,) = await fetch(connection, statement, page_text(theirs))
        assert asdict(counted) == dict(expected), number
        assert await contents(store, table, "plain") == await contents(store, table, "long")
        if number % 7 == 6:
            await _disturb(store, table, Random(number))


async def _disturb(store: Database, table: Table, chance: Random) -> None:
    """A tombstone for one, and a hash of the rule of before for another: in both churches."""
    async with store.transaction() as connection:
        buried, old = (str(one) for one in chance.sample(range(10), 2))
        await connection.execute(
            text(f"UPDATE {quoted_name(table)} SET _deleted_at = :at, _deleted_reason = 'absent' WHERE id = :id"),
            {"at": at(chance.randint(0, 6)), "id": buried},
        )
        await connection.execute(
            text(f"UPDATE {quoted_name(table)} SET _content_hash = substr(_content_hash, 1, 16) WHERE id = :id"),
            {"id": old},
        )


async def rows_looked_at(connection: AsyncConnection, entity: Entity) -> int:
    """By this session, as far as it has not reported them yet; it does so between transactions."""
    found = await connection.execute(
        text(
            "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables "
            "WHERE schemaname = :schema AND relname = :name"
        ),
        {"schema": mirror_table(entity).schema, "name": mirror_table(entity).name},
    )
    return int(found.scalar_one())


async def test_a_plan_made_for_an_empty_table_finds_its_rows_by_their_key_when_it_has_grown(store: Database) -> None:
    """Postgres keeps the plan of a prepared statement, and this one is prepared with the first page of a first sync."""
    membership = CATALOG.entity("groups.Membership")  # it has another index that begins with org_id
    table = mirror_table(membership)

    def members(first: int, count: int) -> list[dict[str, object]]:
        records = [record(membership, one, Random(one)) for one in range(first, first + count)]
        return transform_page(
            records, entity=membership, org_id="grace", epoch="turn-1", observed_at=at(0), parents={}
        ).rows

    async with store.statement() as connection:
        for number in range(8):  # after five of them Postgres may keep one plan for all
            await upsert_rows(connection, table, members(number, 1))
        await upsert_rows(connection, table, members(100, 3000))
        session = await connection.scalar(text("SELECT pg_backend_pid()"))
    async with store.transaction() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) == session, "the statement is prepared there"
        before = await rows_looked_at(connection, membership)
        await upsert_rows(connection, table, members(1000, 5))
        assert await rows_looked_at(connection, membership) - before <= 20
