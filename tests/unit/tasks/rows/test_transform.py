"""A record becomes a row and nothing of it is dropped, whatever PCO puts into it."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pco_catalog.catalog import Relationship, load_catalog
from tasks.rows.transform import RELATIONSHIPS, restore_json, storable_json, transform_page
from tests.unit.tasks.records import NOW, THING, TYPES, extra, identical, only_row, record, told, transformed

AWKWARD = ("\x00", "before\x00after", "\ud800", "\udfff lone", "\\u0000", "$json", "2026-02-30", "2026-02-30T25:61:00Z")
TEXT = st.one_of(st.text(st.characters(), max_size=12), st.sampled_from(AWKWARD))
NUMBERS = st.one_of(
    st.integers(-(2**66), 2**66),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("1.5E+400"), Decimal("-2E-400")]),
)
TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda one: one.isoformat().replace("+00:00", "Z")),
    st.dates().map(date.isoformat),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, TIMES)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(attributes=st.dictionaries(st.sampled_from(sorted(TYPES)), JSON))
def test_every_value_is_in_its_column_exactly_or_restored_from_extra(attributes: dict[str, Any]) -> None:
    row = only_row(transformed(record(**attributes)))
    for name, value in attributes.items():
        if TYPES[name] == "primary_key" and type(value) is int and row[name] is not None:
            value = str(value)  # PCO sends ids as numbers and as text; ids are text here
        if TYPES[name] == "float" and isinstance(row[name], float) and type(value) is int:
            value = float(value)
        assert identical(told(row, name), value)


@settings(max_examples=400, deadline=None)
@given(value=JSON)
def test_any_json_value_is_restored_from_what_jsonb_can_hold(value: Any) -> None:
    stored = storable_json(value)
    assert "\\u0000" not in stored.replace("\\\\", "")
    assert stored.encode("utf-8")
    assert identical(restore_json(json.loads(stored)), value)


@settings(max_examples=200, deadline=None)
@given(attributes=st.dictionaries(TEXT, JSON, max_size=4))
def test_attributes_that_the_catalogue_does_not_know_are_kept_by_name(attributes: dict[str, Any]) -> None:
    unknown = {name: value for name, value in attributes.items() if name not in TYPES}
    page = transformed(record() | {"attributes": unknown})
    kept = extra(only_row(page))
    restored = {name if name in unknown else json.loads(name): value for name, value in kept.items()}
    assert identical(restored, unknown)
    assert page.unknown_attributes == set(kept)


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("title", "Grace", "Grace"),
        ("title", "", ""),
        ("code", 17, "17"),
        ("count", -(2**63), -(2**63)),
        ("share", 2, 2.0),
        ("open", False, False),
        ("born_on", "9999-12-30", date(9999, 12, 30)),
        ("updated_at", "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("updated_at", "2026-01-01T02:00:00.123456+02:00", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("tags", ["a", None], '["a",null]'),
    ],
)
def test_a_value_that_fits_stands_in_its_column(name: str, value: Any, stored: object) -> None:
    page = transformed(record(**{name: value}))
    assert identical(only_row(page)[name], stored)
    assert (page.misfits, only_row(page)["extra"]) == (0, "{}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "before\x00after"),
        ("title", "lone \ud800"),
        ("title", 7),
        ("count", int("9" * 30)),
        ("count", "7"),
        ("count", True),
        ("count", 1.5),
        ("share", Decimal("1E+400")),
        ("share", 2**60 + 1),
        ("share", "0.5"),
        ("open", "true"),
        ("open", 1),
        ("code", True),
        ("born_on", "2023-02-30"),
        ("born_on", "0000-00-00"),
        ("born_on", "0001-01-01"),  # asyncpg would write -infinity
        ("born_on", "9999-12-31"),
        ("born_on", "2026-W01-1"),
        ("born_on", "2026-01-01T00:00:00Z"),
        ("updated_at", "2023-02-30T25:61:00Z"),
        ("updated_at", "2026-01-01T00:00:00"),
        ("updated_at", "2026-01-01"),
        ("updated_at", "2026-01-01T00:00:00.1234567Z"),
        ("updated_at", "2026-01-01T00:00:00,1234567Z"),
        ("updated_at", "0001-01-01T00:00:00Z"),
        ("updated_at", "0001-01-01T00:00:00+02:00"),
        ("updated_at", "9999-12-31T23:59:59.999999Z"),
        ("updated_at", {"not": ["a", "time"]}),
        ("tags", "\x00"),
    ],
)
def test_a_value_that_does_not_fit_is_kept_in_extra_and_counted(name: str, value: Any) -> None:
    page = transformed(record(**{name: value}))
    row = only_row(page)
    assert row[name] is None
    assert identical(extra(row), {name: value})
    assert (page.misfits, page.rejected) == (1, [])


def test_a_document_that_jsonb_cannot_hold_is_escaped_in_its_column() -> None:
    value = {"deep": ["\x00", int("9" * 30), {"\ud800": Decimal("1E+400")}]}
    row = only_row(transformed(record(answers=value)))
    assert str(row["answers"]).isascii()
    assert identical(restore_json(json.loads(row["answers"])), value)


def test_a_row_says_whose_it_is_and_when_it_was_observed() -> None:
    row = only_row(transformed(record("5")))
    assert (row["org_id"], row["id"], row["_epoch"], row["_synced_at"]) == ("grace", "5", "turn-1", NOW)


def test_a_number_as_id_is_the_same_id_as_text() -> None:
    page = transformed(record(5), record("5"))
    assert page.ids == ["5"]


@pytest.mark.parametrize(
    ("broken", "record_id"),
    [
        ({"type": "Thing", "attributes": {"title": "canary"}}, None),
        (record("", title="canary"), None),
        (record(None, title="canary"), None),
        (record(True, title="canary"), "True"),
        (record(["canary"]), None),
        (record("canary\x00"), None),
        (record("canary\ud800"), None),
        (record("7", title="canary") | {"type": "Canary"}, "7"),
        (record("7") | {"attributes": ["canary"]}, "7"),
        (record("7") | {"relationships": "canary"}, "7"),
        ("canary", None),
        (None, None),
    ],
)
def test_a_record_without_identity_is_rejected_raw_and_blocks_no_other(broken: Any, record_id: str | None) -> None:
    page = transformed(record("1"), broken, record("2"))
    (rejected,) = page.rejected
    assert page.ids == ["1", "2"]
    assert rejected.record_id == record_id
    assert rejected.raw.isascii()
    assert identical(json.loads(rejected.raw), broken)
    assert "canary" not in rejected.reason.lower()


@pytest.mark.parametrize("newer_first", [True, False])
def test_of_a_record_that_occurs_twice_the_newer_one_is_kept(newer_first: bool) -> None:
    newer = record("1", title="newer", updated_at="2026-01-02T00:00:00Z")
    older = record("1", title="older", updated_at="2026-01-01T00:00:00Z")
    page = transformed(*([newer, older] if newer_first else [older, newer]))
    assert only_row(page)["title"] == "newer"


def test_of_two_of_the_same_age_the_later_one_is_kept() -> None:
    assert only_row(transformed(record("1", title="first"), record("1", title="second")))["title"] == "second"


CAMPUS = {"type": "Campus", "id": "3"}


@pytest.mark.parametrize(
    ("name", "relationship", "campus_id", "kept"),
    [
        ("campus", {"data": CAMPUS, "links": {"related": "https://…"}}, "3", None),
        ("campus", {"data": {"type": "Campus", "id": 3}}, "3", None),
        ("campus", {"data": None}, None, None),
        ("campus", {"links": {"related": "https://…"}}, None, None),
        ("campus", None, None, None),
        ("campus", {"data": {"type": "PrimaryCampus", "id": "3"}}, "3", {"data": {"type": "PrimaryCampus", "id": "3"}}),
        ("campus", {"data": CAMPUS, "meta": {"count": 1}}, "3", {"data": CAMPUS, "meta": {"count": 1}}),
        ("campus", {"data": None, "meta": {"count": 0}}, None, {"data": None, "meta": {"count": 0}}),
        ("campus", {"data": [CAMPUS]}, None, {"data": [CAMPUS]}),
        ("campus", {"data": {"type": "Campus", "id": "\x00"}}, None, {"data": {"type": "Campus", "id": "\x00"}}),
        ("campus", "odd", None, "odd"),
        ("people", {"data": [{"type": "Person", "id": "4"}]}, None, {"data": [{"type": "Person", "id": "4"}]}),
        ("unheard_of", {"data": CAMPUS}, None, {"data": CAMPUS}),
    ],
)
def test_a_relationship_to_one_is_a_column_and_all_else_of_it_is_kept(
    name: str, relationship: Any, campus_id: str | None, kept: Any
) -> None:
    row = only_row(transformed(record("1", {name: relationship})))
    assert row["campus_id"] == campus_id
    assert identical(extra(row).get(RELATIONSHIPS), None if kept is None else {name: kept})


def test_an_attribute_called_like_our_own_member_of_extra_does_not_hide_it() -> None:
    row = only_row(transformed(record("1", {"people": {"data": []}}, _relationships="theirs")))
    assert extra(row) == {RELATIONSHIPS: {"people": {"data": []}}, '"_relationships"': "theirs"}


def shuffled(value: Any) -> Any:
    """The same JSON with the members of every object in another order."""
    if isinstance(value, dict):
        return {key: shuffled(one) for key, one in reversed(value.items())}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


@settings(max_examples=200, deadline=None)
@given(attributes=st.dictionaries(st.sampled_from(sorted(TYPES)), JSON))
def test_the_content_hash_does_not_depend_on_the_order_of_members(attributes: dict[str, Any]) -> None:
    one = record("1", {"campus": {"data": CAMPUS}, "people": {"data": []}}, **attributes)
    assert only_row(transformed(one))["_content_hash"] == only_row(transformed(shuffled(one)))["_content_hash"]


@pytest.mark.parametrize(
    "changed",
    [
        record("1", {"campus": {"data": CAMPUS}}, title="b", count=1),
        record("1", {"campus": {"data": CAMPUS}}, title="a", count=2),
        record("1", {"campus": {"data": CAMPUS}}, title="a", count=1, unheard_of=0),
        record("1", {"campus": {"data": {"type": "Campus", "id": "4"}}}, title="a", count=1),
        record("1", {}, title="a", count=1),
        record("1", {"campus": {"data": CAMPUS}}, title="a\x00", count=1),
        record("1", {"campus": {"data": CAMPUS}}, title="a", count=int("9" * 30)),
    ],
)
def test_the_content_hash_tells_any_other_content(changed: Any) -> None:
    one = record("1", {"campus": {"data": CAMPUS}}, title="a", count=1)
    assert only_row(transformed(one))["_content_hash"] != only_row(transformed(changed))["_content_hash"]


def test_a_local_time_that_pco_labels_as_utc_is_kept_as_it_reads() -> None:
    """Services sends wall-clock times with a Z (#987, #1198); whose time zone it is, is not in the record."""
    plan = {"type": "Plan", "id": "1", "attributes": {"sort_date": "2026-11-29T09:30:00Z"}}
    page = transform_page(
        [plan], entity=load_catalog().entity("services.Plan"), org_id="grace", epoch="e", observed_at=NOW
    )
    assert page.rows[0]["sort_date"] == datetime(2026, 11, 29, 9, 30, tzinfo=UTC)


def test_an_attribute_that_contradicts_its_relationship_is_kept_beside_it() -> None:
    """Notes have both `note_category_id` and a relationship `note_category`."""
    note = {
        "type": "Note",
        "id": "1",
        "attributes": {"note_category_id": 7},
        "relationships": {"note_category": {"data": None}},
    }
    page = transform_page(
        [note], entity=load_catalog().entity("people.Note"), org_id="grace", epoch="e", observed_at=NOW
    )
    assert page.rows[0]["note_category_id"] == "7"
    assert json.loads(str(page.rows[0]["extra"])) == {"_relationships": {"note_category": {"data": None}}}


def below(parents: dict[str, str], *records: Any) -> dict[str, Any]:
    """The row of a thing that does not name its album, as a list below `parents` shows it."""
    album = Relationship(many=False, resource="Album", rendered=False)
    entity = replace(THING, relationships={**THING.relationships, "album": album})
    return only_row(
        transform_page(records, entity=entity, org_id="grace", epoch="turn-1", observed_at=NOW, parents=parents)
    )


def test_a_parent_that_pco_does_not_name_is_known_from_the_path() -> None:
    row = below({"artist": "7", "album": "12"}, record("1", title="a"))
    assert (row["album_id"], row["extra"], row["campus_id"]) == ("12", "{}", None)
    assert row["_content_hash"] == only_row(transformed(record("1", title="a")))["_content_hash"], "PCO's content only"


def test_what_pco_says_of_a_parent_counts_for_more_than_the_path() -> None:
    told_by_pco = record("1", {"album": {"data": {"type": "Album", "id": "13"}}})
    assert below({"album": "12"}, told_by_pco)["album_id"] == "13"
    assert below({}, record("1"))["album_id"] is None
