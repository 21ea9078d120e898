"""A PCO resource becomes a row: pure, not a task.

Nothing is dropped. A value goes to the column of its attribute when the column can hold exactly that value, else to
`extra` under the attribute's name; so do attributes the catalogue does not know. Relationships to one record become
`<name>_id`; the others are kept whole (without links) in `extra["_relationships"]`. Ancestors that PCO does not name in
the record are known from the list's path. What jsonb cannot hold either (NUL, lone surrogates, numbers beyond 64 bits)
is kept as `{"$json": "<the value as ASCII JSON text>"}`.

What a record says nothing of is null in its row, and named under `_absent` if PCO renders it for this kind, so that the
upsert does not take it for null.

A record without an identity (no id, of another type, not an object) cannot be a row; it is `Rejected`, raw, for the
quarantine.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import orjson

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity
from pco_client.documents import Json, MalformedRecord, Resource, read_json, read_resource
from pco_store.mirror.upsert_rules import ABSENT
from tasks.rows.content_hash import content_of

COLUMN_KINDS: Final = {
    "string": "text",
    "currency_abbreviation": "text",
    "primary_key": "identifier",
    "integer": "integer",
    "float": "float",
    "boolean": "boolean",
    "date": "date",
    "date_time": "instant",
}
RELATIONSHIPS: Final = "_relationships"
UNSTORABLE: Final = "$json"
_PLAIN: Final = frozenset({"data", "links"})
_NO_PARENTS: Final[Mapping[str, str]] = {}
_INFINITE_DAYS: Final = frozenset({date.min, date.max})
_FIRST_INSTANT: Final = datetime.min.replace(tzinfo=UTC)
_LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)
"""asyncpg writes Python's first and last as -infinity and infinity."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", flags=re.ASCII)


class MisfitError(ValueError):
    """The column cannot hold exactly this value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A record that has no identity to be stored under: the one at `place` of its page. `raw` is ASCII JSON text."""

    place: int
    reason: str
    record_id: str | None
    raw: str


@dataclass(kw_only=True, slots=True)
class TransformedPage:
    """The rows of one page, one per id, and what could not become a row or a typed value."""

    rows: list[dict[str, object]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    misfits: int = 0
    unknown_attributes: set[str] = field(default_factory=set)

    @property
    def ids(self) -> list[str]:
        """The ids of the rows, in the order of the page."""
        return [str(row["id"]) for row in self.rows]


def transform_page(
    records: Sequence[Json],
    *,
    entity: Entity,
    org_id: str,
    epoch: str,
    observed_at: datetime,
    parents: Mapping[str, str] = _NO_PARENTS,
    parents_of_each: Sequence[Mapping[str, str]] | None = None,
) -> TransformedPage:
    """Turn the records of one page into rows; of a record that occurs twice, the newer (or later) one is kept.

    `parents` are the ids in the list's path that are the records' own, by name (`donation`);
    `parents_of_each` are those of each record, where they came with others.
    """
    shape = _shape_of(entity)
    from_path = _from_path(parents, shape)
    page = TransformedPage()
    by_id: dict[str, dict[str, object]] = {}
    for place, record in enumerate(records):
        try:
            resource = read_resource(record, expected_type=entity.resource)
            row, absent = _row(resource, shape, page)
        except MalformedRecord as error:
            page.rejected.append(_reject(record, place, str(error)))
            continue
        row["org_id"] = org_id
        row["_epoch"] = epoch
        row["_synced_at"] = observed_at
        if parents_of_each is not None:
            from_path = _from_path(parents_of_each[place], shape)
        if absent or from_path:
            _tell(row, from_path, shape, absent=absent)
        known = by_id.get(resource.id)
        if known is None or not _is_older(row, known):
            by_id[resource.id] = row
    page.rows = list(by_id.values())
    return page


def column_value(entity: Entity, name: str, value: Json) -> object:
    """What the column of an attribute holds for a value; None for null. Raises `MisfitError`."""
    if value is None:
        return None
    if isinstance(value, str) and _is_awkward_text(value):
        raise MisfitError
    try:
        return _shape_of(entity).columns[name](value)
    except (ValueError, OverflowError):
        raise MisfitError from None


def place_relationships(
    relationships: Mapping[str, Json], *, entity: Entity, row: dict[str, object]
) -> dict[str, Json]:
    """Fill the `<name>_id` columns of `row`, all of which it has; what is returned they cannot tell in full."""
    return _place_relationships(relationships, _shape_of(entity), row)


def storable_json(value: Json) -> str:
    """JSON text that jsonb can hold and from which `restore_json` gives back exactly `value`."""
    if isinstance(value, dict) and value.keys() == {UNSTORABLE}:
        return _escaped(value)
    try:
        text = orjson.dumps(value)
    except TypeError:
        return _escaped(value)
    return _escaped(value) if b"\\u0000" in text else text.decode()


def restore_json(stored: object) -> object:
    """The value that `storable_json` stored."""
    if isinstance(stored, dict) and stored.keys() == {UNSTORABLE}:
        return read_json(str(stored[UNSTORABLE]).encode())
    return stored


def raw_text(value: Json) -> str:
    """Any JSON value as ASCII JSON text, so that NUL and lone surrogates fit in a text column; numbers are exact."""
    try:
        return json.dumps(value, ensure_ascii=True)
    except TypeError:  # a number that no float can hold
        return _text_with_decimals(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """How the records of a kind become rows. `as_is`: of this type, a plain value goes to its column unchanged."""

    entity: Entity
    columns: Mapping[str, Callable[[Json], object]]
    as_is: Mapping[str, type]
    to_one: Mapping[str, str]
    ancestors: frozenset[str]
    told: frozenset[str]
    pointers: Mapping[str, str]
    empty: Mapping[str, object]


@lru_cache(maxsize=512)
def _shape_of(entity: Entity) -> _Shape:
    columns: dict[str, Callable[[Json], object]] = {}
    for name, attribute in entity.attributes.items():
        kind = COLUMN_KINDS.get(attribute.type)
        columns[name] = _CONVERTERS[kind] if kind else storable_json
    to_one = {name: one.resource for name, one in entity.relationships.items() if not one.many}
    partly_known = columns_of(entity)
    # What a record names only if it is included: PCO's type is the ancestor's name in its spelling.
    for name in (one.removesuffix("_id") for one in partly_known.ancestors):
        to_one.setdefault(name, name.title().replace("_", ""))
    return _Shape(
        entity=entity,
        columns=columns,
        as_is={name: _AS_IS[convert] for name, convert in columns.items() if convert in _AS_IS},
        to_one=to_one,
        ancestors=frozenset({*partly_known.ancestors, *partly_known.told}),
        told=frozenset(partly_known.told),
        pointers=partly_known.pointers,
        empty=dict.fromkeys([*columns, *(f"{name}_id" for name in to_one), *partly_known.ancestors]),
    )


def _from_path(parents: Mapping[str, str], shape: _Shape) -> dict[str, str]:
    return {f"{name}_id": one for name, one in parents.items() if f"{name}_id" in shape.ancestors}


def _tell(row: dict[str, object], from_path: Mapping[str, str], shape: _Shape, *, absent: frozenset[str]) -> None:
    """Fill in what the path tells and the record does not, and name what neither of them says."""
    for column, identity in from_path.items():
        pointer = column.removesuffix("_id")
        if row[column] is None and (column in shape.told or pointer in absent):
            row[column] = identity
            absent -= {pointer}
    if absent:
        row[ABSENT] = f",{','.join(sorted(shape.pointers.get(name, name) for name in absent))},"


def _row(resource: Resource, shape: _Shape, page: TransformedPage) -> tuple[dict[str, object], frozenset[str]]:
    """Its row, and the relationships that PCO renders for this kind, and of which it says nothing."""
    if _is_awkward_text(resource.id):
        raise MalformedRecord(reason="an id that the database cannot hold", field="id")
    row: dict[str, object] = dict(shape.empty)
    extra: dict[str, str] = {}
    content = content_of(resource, shape.entity)
    awkward = not content.is_plain
    columns = shape.columns
    as_is = _NO_TYPES if awkward else shape.as_is
    for name, value in resource.attributes.items():
        if type(value) is as_is.get(name):
            row[name] = value
            continue
        convert = columns.get(name)
        if convert is None:
            safe_name = _extra_name(name)
            page.unknown_attributes.add(safe_name)
            extra[safe_name] = storable_json(value)
        elif value is not None:
            if awkward and isinstance(value, str) and _is_awkward_text(value):
                page.misfits += 1
                extra[name] = _escaped(value)
                continue
            try:
                row[name] = convert(value)
            except (ValueError, OverflowError):
                page.misfits += 1
                extra[name] = storable_json(value)
    kept = _place_relationships(resource.relationships, shape, row)
    if kept:
        extra[RELATIONSHIPS] = storable_json(kept)
    row["id"] = resource.id
    row["extra"] = _object_text(extra)
    row["_content_hash"] = content.hash
    return row, content.absent


def _place_relationships(relationships: Mapping[str, Json], shape: _Shape, row: dict[str, object]) -> dict[str, Json]:
    """Fill the `<name>_id` columns; return the relationships that a column cannot tell in full."""
    kept: dict[str, Json] = {}
    for name, relationship in relationships.items():
        data = relationship.get("data") if isinstance(relationship, dict) else relationship
        declared = shape.to_one.get(name)
        if declared is not None and isinstance(data, dict) and isinstance(data.get("id"), str | int):
            identity = str(data["id"])
            column = f"{name}_id"
            if not _is_awkward_text(identity):
                if row[column] is None:
                    row[column] = identity
                is_told = row[column] == identity and data.keys() == {"type", "id"} and data["type"] == declared
                if is_told and relationship.keys() <= _PLAIN:
                    continue
        elif declared is not None and _is_plainly_unset(relationship) and row[f"{name}_id"] is None:
            continue
        if isinstance(relationship, dict):
            told = {key: value for key, value in relationship.items() if key != "links"}
            if told:
                kept[name] = told
        else:
            kept[name] = relationship
    return kept


def _is_plainly_unset(relationship: Json) -> bool:
    if isinstance(relationship, dict):
        return relationship.get("data") is None and relationship.keys() <= _PLAIN
    return relationship is None


def _is_older(row: Mapping[str, object], known: Mapping[str, object]) -> bool:
    mine, theirs = row.get("updated_at"), known.get("updated_at")
    return isinstance(mine, datetime) and isinstance(theirs, datetime) and mine < theirs


def _reject(record: Json, place: int, reason: str) -> Rejected:
    record_id = record.get("id") if isinstance(record, dict) else None
    identity = str(record_id) if isinstance(record_id, str | int) else None
    if not identity or _is_awkward_text(identity):
        identity = None
    return Rejected(place=place, reason=reason, record_id=identity, raw=raw_text(record))


def _escaped(value: Json) -> str:
    return json.dumps({UNSTORABLE: raw_text(value)}, ensure_ascii=True)


def _text_with_decimals(value: Json) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_text_with_decimals(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text_with_decimals(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=True)


def _object_text(members: Mapping[str, str]) -> str:
    """A JSON object out of values that are JSON text already."""
    if not members:
        return "{}"
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"


def _extra_name(name: str) -> str:
    """The attribute's name in `extra`; one that jsonb cannot hold, or that is ours, becomes its JSON text."""
    return raw_text(name) if name == RELATIONSHIPS or _is_awkward_text(name) else name


def _is_awkward_text(text: str) -> bool:
    """NUL or a lone surrogate: neither text nor jsonb can hold it."""
    if "\x00" in text:
        return True
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _to_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    raise MisfitError


def _to_identifier(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise MisfitError


def _to_integer(value: Json) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise MisfitError


def _to_float(value: Json) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53:
        return float(value)
    raise MisfitError


def _to_boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    raise MisfitError


def _to_date(value: Json) -> date:
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":  # not a week or a day of the year
        day = date.fromisoformat(value)
        if day not in _INFINITE_DAYS:
            return day
    raise MisfitError


def _to_instant(value: Json) -> datetime:
    """Exactly this instant: with an offset, and not finer than a microsecond."""
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        raise MisfitError
    instant = datetime.fromisoformat(value).astimezone(UTC)
    if not _FIRST_INSTANT < instant < _LAST_INSTANT:
        raise MisfitError
    return instant


_NO_TYPES: Final[Mapping[str, type]] = {}
_AS_IS: Final[Mapping[Callable[[Json], object], type]] = {_to_text: str, _to_identifier: str, _to_boolean: bool}
_CONVERTERS: Final[Mapping[str, Callable[[Json], object]]] = {
    "text": _to_text,
    "identifier": _to_identifier,
    "integer": _to_integer,
    "float": _to_float,
    "boolean": _to_boolean,
    "date": _to_date,
    "instant": _to_instant,
}
