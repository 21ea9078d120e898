"""Records that are bad in one way each, as bytes of a JSON list element."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

POISONS: Final = (
    "nul",
    "surrogate",
    "huge-integer",
    "huge-number",
    "impossible-date",
    "missing-id",
    "null-id",
    "empty-id",
    "number-id",
    "wrong-record-type",
    "wrong-attribute-type",
    "attributes-list",
    "not-an-object",
    "duplicate",
)
_MARK: Final = "POISON-GOES-HERE"


def poisoned(record: Mapping[str, Any], kind: str) -> bytes:
    """The record, spoilt. `duplicate` is the record twice, a comma between them. Raises `KeyError` for other kinds."""
    document = dict(record)
    attributes = document["attributes"] = dict(document["attributes"])
    text = _name_of(attributes, str, unless=("_at", "_id"))
    match kind:
        case "nul":
            attributes[text] = "before\x00after"
        case "surrogate":
            return _marked(document, text, b'"lone \\ud800 surrogate"')
        case "huge-integer":
            return _marked(document, _name_of(attributes, int), b"9" * 30)
        case "huge-number":
            return _marked(document, _name_of(attributes, int), b"1e400")
        case "impossible-date":
            attributes[_name_of(attributes, str, ending="_at")] = "2023-02-30T25:61:00Z"
        case "wrong-attribute-type":
            attributes[_name_of(attributes, str, ending="_at")] = {"not": ["a", "time"]}
        case "attributes-list":
            document["attributes"] = list(attributes.values())
        case "not-an-object":
            return b'"where a record is due"'
        case "missing-id":
            del document["id"]
        case "null-id":
            document["id"] = None
        case "empty-id":
            document["id"] = ""
        case "number-id":
            document["id"] = int(document["id"])
        case "wrong-record-type":
            document["type"] = "SomethingElse"
        case "duplicate":
            return orjson.dumps(document) + b"," + orjson.dumps(document)
        case _:
            raise KeyError(kind)
    return orjson.dumps(document)


def _marked(document: dict[str, Any], name: str, raw: bytes) -> bytes:
    document["attributes"][name] = _MARK
    return orjson.dumps(document).replace(b'"%b"' % _MARK.encode(), raw)


def _name_of(attributes: Mapping[str, Any], wanted: type, *, ending: str = "", unless: tuple[str, ...] = ()) -> str:
    """The first attribute with a value of a type; one that PCO might add tomorrow if there is none."""
    for name, value in attributes.items():
        fits = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
        if fits and name.endswith(ending) and not (unless and name.endswith(unless)):
            return name
    return f"new{ending}" if ending else "new_attribute"
