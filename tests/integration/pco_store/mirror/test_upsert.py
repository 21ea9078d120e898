"""The guarded upsert on a real Postgres: nothing older wins, nothing is written twice, any value comes back."""

import asyncio
import itertools
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from pco_catalog import Entity, load_catalog
from pco_store.database import Database
from pco_store.errors import StatementRefused
from pco_store.mirror.tables import mirror_table
from tasks.rows.transform import restore_json, transform_page
from tests.integration.mirror import PEOPLE, at, person, rows, stored, upsert
from tests.unit.tasks.rows.test_transform import JSON

ON_ONE_DATABASE = [HealthCheck.function_scoped_fixture]
"""Each example works for a church of its own, so that the examples may share the test's database."""

_churches = (f"church-{number}" for number in itertools.count(1))


async def test_a_page_is_counted_as_new_changed_unchanged_and_stale(store: Database) -> None:
    first = rows(person(1), person(2), person(3, updated=9), observed=1)
    assert await upsert(store, first) == (3, 0, 0, 0)

    second = rows(person(1), person(2, first_name="Ada"), person(3, first_name="Old"), person(4), observed=2)
    assert await upsert(store, second) == (1, 1, 1, 1)


async def test_an_empty_page_does_nothing(store: Database) -> None:
    assert await upsert(store, []) == (0, 0, 0, 0)


async def test_the_same_page_twice_writes_nothing_the_second_time(store: Database) -> None:
    page = rows(person(1, first_name="Ada"), person(2), observed=1)
    versions = text("SELECT array_agg(ctid::text ORDER BY id) FROM people.person")
    await upsert(store, page)
    async with store.transaction() as connection:
        before = await connection.scalar(versions)

    assert await upsert(store, page) == (0, 0, 2, 0)

    async with store.transaction() as connection:
        assert await connection.scalar(versions) == before


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (rows(person(1, updated=2, first_name="New"), observed=3), rows(person(1, updated=1), observed=4)),
        (rows(person(1, updated=1, first_name="New"), observed=4), rows(person(1, updated=1), observed=3)),
        (rows(person(1, updated=None, first_name="New"), observed=4), rows(person(1, updated=None), observed=3)),
    ],
    ids=["by updated_at", "by observation at the same updated_at", "by observation without updated_at"],
)
async def test_older_never_overwrites_newer(store: Database, newer: Any, older: Any) -> None:
    await upsert(store, newer)
    assert await upsert(store, older) == (0, 0, 0, 1)
    assert (await stored(store))["1"].first_name == "New"


async def test_a_time_that_goes_back_is_believed_a_day_later(store: Database) -> None:
    """Planning Center has restored the record, or had a time in the future and corrected it."""
    await upsert(store, rows(person(1, updated=9), observed=10))
    before = rows(person(1, updated=1, first_name="New"), observed=33)
    assert await upsert(store, before) == (0, 0, 0, 1)
    assert await upsert(store, rows(person(1, updated=1, first_name="New"), observed=35)) == (0, 1, 0, 0)
    assert (await stored(store))["1"].first_name == "New"


async def test_a_later_observation_wins_at_the_same_updated_at(store: Database) -> None:
    await upsert(store, rows(person(1), observed=3))
    assert await upsert(store, rows(person(1, first_name="New"), observed=3)) == (0, 1, 0, 0)
    assert (await stored(store))["1"].first_name == "New"


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[dict[str, object]]], list[str]]:
    """Pages that show two people at growing times of a history, in any order; and the names they have at its end."""
    history = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=7))
    updated = {0: 0, 1: 0}
    names = {0: "at first", 1: "at first"}
    seen: set[int] = set()
    pages = []
    for observed, (changed, hours) in enumerate(history):
        updated[changed] += hours  # PCO's times are exact to the second only, so some changes do not show there
        names[changed] = f"version {observed}"
        shown = draw(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=2, unique=True))
        seen.update(shown)
        pages.append(
            rows(*(person(who, updated=updated[who], first_name=names[who]) for who in shown), observed=observed)
        )
    last = [person(who, updated=updated[who], first_name=names[who]) for who in (0, 1)]
    pages.append(rows(*last, observed=len(history)))
    doubled = draw(st.lists(st.sampled_from(pages), max_size=3))
    return draw(st.permutations(pages + doubled)), [names[0], names[1]]


@settings(max_examples=60, deadline=None, suppress_health_check=ON_ONE_DATABASE)
@given(delivered=deliveries())
async def test_in_any_order_of_delivery_the_last_observation_stands_in_the_end(
    store: Database, delivered: tuple[list[list[dict[str, object]]], list[str]]
) -> None:
    pages, names = delivered
    church = next(_churches)
    for page in pages:
        await upsert(store, [{**row, "org_id": church} for row in page])
    mirror = await stored(store, org_id=church)
    assert [mirror["0"].first_name, mirror["1"].first_name] == names


async def bury(store: Database, hours: float) -> None:
    """Let person 1 be found deleted so many hours after Monday's midnight."""
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE people.person SET _deleted_at = :at, _deleted_reason = 'absent' WHERE id = '1'"),
            {"at": at(hours)},
        )


@pytest.mark.parametrize("content", [{}, {"first_name": "Ada"}], ids=["unchanged", "changed"])
async def test_a_tombstone_is_lifted_by_seeing_the_record_live(store: Database, content: dict[str, Any]) -> None:
    await upsert(store, rows(person(1), observed=1))
    await bury(store, 2)

    assert await upsert(store, rows(person(1, **content), observed=3)) == (0, 1, 0, 0)

    row = (await stored(store))["1"]
    assert (row._deleted_at, row._deleted_reason) == (None, None)


@pytest.mark.parametrize("updated", [0, 1.5], ids=["unchanged", "changed before it was deleted"])
async def test_a_page_asked_for_before_the_deletion_does_not_lift_the_tombstone(
    store: Database, updated: float
) -> None:
    await upsert(store, rows(person(1), observed=1))
    await bury(store, 2)

    await upsert(store, rows(person(1, updated=updated, first_name="Late"), observed=1.9))

    assert (await stored(store))["1"]._deleted_at == at(2)


async def test_churches_do_not_touch_each_other(store: Database) -> None:
    await upsert(store, rows(person(1, first_name="Ada"), org_id="grace"))
    await upsert(store, rows(person(1, first_name="Bob"), org_id="faith", observed=5))
    assert (await stored(store, org_id="grace"))["1"].first_name == "Ada"
    assert (await stored(store, org_id="faith"))["1"].first_name == "Bob"


async def blocked(store: Database, count: int) -> None:
    """Wait until so many writers wait for a lock."""
    async with store.statement() as connection, asyncio.timeout(20):
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while await connection.scalar(waiting) != count:
            await connection.execute(text("SELECT pg_sleep(0.01)"))


async def test_writers_of_the_same_rows_in_other_orders_do_not_deadlock(store: Database) -> None:
    await upsert(store, rows(person(1), person(2), observed=0))
    first = rows(person(1, first_name="First"), person(2, first_name="First"), observed=1)
    second = rows(person(2, first_name="Second"), person(1, first_name="Second"), observed=2)

    async with asyncio.TaskGroup() as writers:
        async with store.transaction() as connection:
            await connection.execute(text("SELECT 1 FROM people.person WHERE id = '1' FOR UPDATE"))
            writers.create_task(upsert(store, first))
            await blocked(store, 1)
            writers.create_task(upsert(store, second))
            await blocked(store, 2)

    assert {row.first_name for row in (await stored(store)).values()} == {"Second"}


def same_json(left: object, right: object) -> bool:
    """Equal as JSON: jsonb has one kind of number, so 1e16 comes back as an integer."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, float) and isinstance(right, int | float):
        return left == float(right)
    return type(left) is type(right) and left == right


@settings(max_examples=40, deadline=None, suppress_health_check=ON_ONE_DATABASE)
@given(values=st.lists(JSON, min_size=1, max_size=15))
async def test_any_json_value_comes_back_from_a_real_database(store: Database, values: list[Any]) -> None:
    church = next(_churches)
    people = [person(number, unheard_of=value, first_name=value) for number, value in enumerate(values)]
    await upsert(store, rows(*people, org_id=church))
    mirror = await stored(store, org_id=church)
    for number, value in enumerate(values):
        row = mirror[str(number)]
        assert same_json(value, restore_json(row.extra["unheard_of"]))
        kept = row.first_name if row.first_name is not None else restore_json(row.extra.get("first_name"))
        assert same_json(value, kept)


FITTING: dict[str, tuple[object, object]] = {
    "string": ("Zoë \U0001f54a \\u0000", "Zoë \U0001f54a \\u0000"),
    "currency_abbreviation": ("USD", "USD"),
    "primary_key": (17, "17"),
    "integer": (2**63 - 1, 2**63 - 1),
    "float": (0.1, 0.1),
    "boolean": (True, True),
    "date": ("0001-01-02", date(1, 1, 2)),
    "date_time": ("9999-12-31T23:59:59.999998Z", datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)),
}
LIMITS: dict[str, tuple[object, object]] = {
    "string": ("\x01\x7f\t\n\r'\"\\/,{}NULL\u2028", "\x01\x7f\t\n\r'\"\\/,{}NULL\u2028"),
    "currency_abbreviation": ("", ""),
    "primary_key": ("null", "null"),
    "integer": (-(2**63), -(2**63)),
    "float": (-5e-324, -5e-324),
    "boolean": (False, False),
    "date": ("9999-12-30", date(9999, 12, 30)),
    "date_time": ("0001-01-01T00:00:00.000001Z", datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
}
DOCUMENT = {"any": ["json", None, 1.5], "nul": "\x00"}


async def test_every_column_of_the_catalogue_takes_what_its_attribute_may_hold(store: Database) -> None:
    async def mirror(entity: Entity) -> None:
        pointers = {
            name: {"data": {"type": one.resource, "id": "7"}}
            for name, one in entity.relationships.items()
            if not one.many
        }
        good = {name: FITTING.get(one.type, (DOCUMENT, None))[0] for name, one in entity.attributes.items()}
        limits = {name: LIMITS.get(one.type, (DOCUMENT, None))[0] for name, one in entity.attributes.items()}
        wrong = dict.fromkeys(entity.attributes, DOCUMENT)
        records = [
            {"type": entity.resource, "id": "1", "attributes": good, "relationships": pointers},
            {"type": entity.resource, "id": "2", "attributes": wrong, "relationships": pointers},
            {"type": entity.resource, "id": "3"},
            {"type": entity.resource, "id": "4", "attributes": limits},
        ]
        page = transform_page(records, entity=entity, org_id="columns", epoch="turn-1", observed_at=at(0))
        table = mirror_table(entity)
        assert await upsert(store, page.rows, table=table) == (4, 0, 0, 0), entity.name
        found = await stored(store, table=table, org_id="columns")
        for name, one in entity.attributes.items():
            for number, values in (("1", FITTING), ("4", LIMITS)):
                expected = values[one.type][1] if one.type in values else DOCUMENT
                assert restore_json(found[number]._mapping[name]) == expected, f"{entity.name}.{name}"
            other = found["2"]._mapping
            kept = other["extra"].get(name, other[name]) if one.type in FITTING else other[name]
            assert restore_json(kept) == DOCUMENT or name in {f"{pointer}_id" for pointer in pointers}
        for name in pointers:
            assert found["2"]._mapping[f"{name}_id"] == "7", f"{entity.name}.{name}"

    for entity in load_catalog().entities():
        await mirror(entity)


@pytest.mark.parametrize("birthdate", ["0001-01-01", "0001-01-02", "1900-02-28", "9999-12-30", "9999-12-31"])
async def test_a_day_is_that_day_in_sql_too_and_not_infinity(store: Database, birthdate: str) -> None:
    await upsert(store, rows(person(1, birthdate=birthdate)))
    async with store.transaction() as connection:
        told = await connection.scalar(
            text("SELECT coalesce(birthdate::text, extra ->> 'birthdate') FROM people.person")
        )
    assert told == birthdate


async def test_a_row_that_does_not_fit_is_refused_without_repeating_it(store: Database) -> None:
    (row,) = rows(person(1))
    for wrong in ({"birthdate": "canary"}, {"extra": "canary"}, {"_content_hash": None, "first_name": "canary"}):
        with pytest.raises(StatementRefused) as caught:
            await upsert(store, [{**row, **wrong}])
        assert "canary" not in str(caught.value)
    assert await stored(store) == {}


def test_the_table_of_people_has_its_typed_columns() -> None:
    assert {"first_name", "birthdate", "primary_campus_id", "extra", "_content_hash"} <= set(PEOPLE.columns.keys())
