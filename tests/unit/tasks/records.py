"""An entity with an attribute of every type, records of it, and what a row still knows of a record."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from pco_catalog.catalog import Attribute, Entity, Relationship
from tasks.rows.transform import TransformedPage, restore_json, transform_page

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

TYPES = {
    "title": "string",
    "currency": "currency_abbreviation",
    "code": "primary_key",
    "count": "integer",
    "share": "float",
    "open": "boolean",
    "born_on": "date",
    "updated_at": "date_time",
    "tags": "array",
    "answers": "json",
    "place": "object",
}

THING = Entity(
    name="tests.Thing",
    product="tests",
    resource="Thing",
    api_version="2026-01-01",
    list_path="/tests/v2/things",
    list_paths=("/tests/v2/things",),
    attributes={name: Attribute(type=kind, nullable=True, on_request=False) for name, kind in TYPES.items()},
    relationships={
        "campus": Relationship(many=False, resource="Campus"),
        "people": Relationship(many=True, resource="Person"),
    },
    can_query_by=frozenset({"created_at", "updated_at"}),
    can_order_by=frozenset({"created_at", "updated_at"}),
    range_query_by=frozenset({"created_at", "updated_at"}),
    can_include=frozenset(),
    filters=frozenset(),
    incremental=None,
)


def record(identity: object = "1", /, relationships: Mapping[str, Any] | None = None, **attributes: Any) -> Any:
    """A record of THING as PCO renders it."""
    return {
        "type": "Thing",
        "id": identity,
        "attributes": attributes,
        "relationships": relationships or {},
        "links": {"self": f"https://api.example/tests/v2/things/{identity}"},
    }


def transformed(*records: Any) -> TransformedPage:
    """A page of these records."""
    return transform_page(records, entity=THING, org_id="grace", epoch="turn-1", observed_at=NOW)


def only_row(page: TransformedPage) -> dict[str, Any]:
    """The row of a page that has one."""
    (row,) = page.rows
    return row


def extra(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the row keeps beside its columns, restored."""
    return {name: restore_json(value) for name, value in json.loads(row["extra"]).items()}


def told(row: Mapping[str, Any], name: str) -> object:
    """The value of an attribute in PCO's form, from its column or from `extra`."""
    value = row.get(name)
    if value is None:
        return extra(row).get(name)
    if TYPES[name] in ("array", "json", "object"):
        return restore_json(json.loads(value))
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def identical(left: object, right: object) -> bool:
    """Equal, and of the same type in all depths: 1, 1.0 and True are three values."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(identical, left, right))
    return type(left) is type(right) and left == right
