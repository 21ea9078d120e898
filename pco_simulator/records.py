"""One invented record of the API, and how it looks in a list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

PCO: Final = "https://api.planningcenteronline.com"
"""Links point at the real host, as in recorded answers: a client that follows them instead of its base URL is found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A JSON:API resource object."""

    type: str
    id: int
    path: str
    attributes: Mapping[str, Any]
    relationships: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """The object as PCO renders it."""
        return {
            "type": self.type,
            "id": str(self.id),
            "attributes": dict(self.attributes),
            "relationships": dict(self.relationships),
            "links": {"self": f"{PCO}{self.path}/{self.id}"},
        }


POISON: Final = (
    "nul",
    "surrogate",
    "huge-number",
    "impossible-date",
    "missing-id",
    "wrong-type",
    "wrong-attribute-type",
    "twice",
)
"""Ways in which a record can be bad."""


def poisoned(record: Record, kind: str) -> bytes:
    """The record as bytes of a JSON list element, spoilt in one way. Raises `ValueError` for an unknown kind."""
    document = record.document()
    attributes = document["attributes"]
    match kind:
        case "nul":
            attributes[_first(attributes, str)] = "before\x00after"
        case "surrogate":
            attributes[_first(attributes, str)] = "LONE-SURROGATE"
            return orjson.dumps(document).replace(b"LONE-SURROGATE", b"lone \\ud800 surrogate")
        case "huge-number":
            attributes["huge_number"] = "HUGE-NUMBER"
            return orjson.dumps(document).replace(b'"HUGE-NUMBER"', b"1" + b"0" * 400)
        case "impossible-date":
            attributes["created_at"] = "2023-02-30T25:61:00Z"
        case "missing-id":
            del document["id"]
        case "wrong-type":
            document["type"] = "SomethingElse"
        case "wrong-attribute-type":
            attributes["created_at"] = ["not", "a", "time"]
        case "twice":
            return orjson.dumps(document) + b"," + orjson.dumps(document)
        case _:
            raise ValueError(f"unknown kind of poison {kind!r}; known: {', '.join(POISON)}")
    return orjson.dumps(document)


def _first(attributes: Mapping[str, Any], wanted: type) -> str:
    return next((name for name, value in attributes.items() if isinstance(value, wanted)), "name")
