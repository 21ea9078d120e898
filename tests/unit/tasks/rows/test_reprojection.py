"""What waits in `extra` for a column gets there as if it had been read today; what still does not fit stays."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pco_client.documents import read_json
from pco_store.mirror.upsert_rules import ABSENT
from tasks.rows.reprojection import Reprojection, reproject
from tasks.rows.transform import transform_page
from tests.unit.tasks.records import NOW, THING, TYPES, record
from tests.unit.tasks.rows.test_transform import JSON, TEXT

RELATIONSHIPS = st.fixed_dictionaries(
    {},
    optional={
        "campus": st.sampled_from(
            [
                None,
                {"data": None},
                {"data": {"type": "Campus", "id": "7"}, "links": {"related": "somewhere"}},
                {"data": {"type": "PrimaryCampus", "id": "7"}},
                {"data": {"type": "Campus", "id": "7"}, "meta": {"count": 1}},
                {"data": {"type": "Campus", "id": "lone \ud800"}},
                {"data": [{"type": "Campus", "id": "7"}]},
            ]
        ),
        "people": st.sampled_from([{"data": []}, {"data": [{"type": "Person", "id": "\x00"}]}]),
    },
)


def row_of(thing: Any, *, unknown: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The columns of a record's row, as it was made when the catalogue did not know these names."""
    entity = replace(
        THING,
        attributes={name: one for name, one in THING.attributes.items() if name not in unknown},
        relationships={name: one for name, one in THING.relationships.items() if name not in unknown},
    )
    page = transform_page([thing], entity=entity, org_id="grace", epoch="turn-1", observed_at=NOW)
    columns = {name: value for name, value in page.rows[0].items() if name not in (ABSENT, "_content_hash")}
    return {**dict.fromkeys([*TYPES, "campus_id"]), **columns}


def reprojected(row: Mapping[str, Any]) -> Reprojection:
    return reproject(THING, row, read_json(row["extra"].encode()))


def applied(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row after what the reprojection asks for."""
    asked = reprojected(row)
    extra = {name: value for name, value in json.loads(row["extra"]).items() if name not in asked.dropped}
    return {**row, **asked.values, "extra": {**extra, **json.loads(asked.put)}}


@settings(max_examples=400, deadline=None)
@given(
    attributes=st.dictionaries(st.one_of(st.sampled_from(sorted(TYPES)), TEXT), JSON, max_size=5),
    relationships=RELATIONSHIPS,
    unknown=st.frozensets(st.sampled_from([*TYPES, "campus"])),
)
def test_a_row_of_an_older_catalogue_becomes_what_it_would_be_today(
    attributes: dict[str, Any], relationships: dict[str, Any], unknown: frozenset[str]
) -> None:
    thing = record(relationships=relationships)
    thing["attributes"] = attributes
    today = row_of(thing)
    assert applied(row_of(thing, unknown=unknown)) == {**today, "extra": json.loads(today["extra"])}


@given(attributes=st.dictionaries(st.sampled_from(sorted(TYPES)), JSON), relationships=RELATIONSHIPS)
def test_a_row_of_today_stays_as_it_is(attributes: dict[str, Any], relationships: dict[str, Any]) -> None:
    asked = reprojected(row_of(record(relationships=relationships, **attributes)))
    assert (asked.values, asked.dropped, asked.put, asked.moved) == ({}, (), "{}", 0)


def test_what_moved_and_what_does_not_fit_is_counted() -> None:
    campus = {"campus": {"data": {"type": "Campus", "id": "7"}}}
    row = row_of(
        record(relationships=campus, title="Hope", count="7", updated_at="2026-01-01T00:00:00Z", more=1),
        unknown=frozenset({"title", "updated_at", "campus"}),
    )
    asked = reprojected(row)
    assert asked.values == {"title": "Hope", "updated_at": datetime(2026, 1, 1, tzinfo=UTC), "campus_id": "7"}
    assert set(asked.dropped) == {"title", "updated_at", "_relationships"}
    assert (asked.moved, asked.misfits) == (3, 1)


@pytest.mark.parametrize(("stored", "dropped", "misfits"), [("Hope", ("title",), 0), ("Grace", (), 1)])
def test_a_column_that_holds_a_value_keeps_it(stored: str, dropped: tuple[str, ...], misfits: int) -> None:
    row = {**row_of(record()), "title": stored, "extra": '{"title": "Hope"}'}
    asked = reprojected(row)
    assert (asked.dropped, asked.misfits) == (dropped, misfits)
    assert {**row, **asked.values}["title"] == stored
