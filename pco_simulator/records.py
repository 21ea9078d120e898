"""One record of the API: a JSON:API resource object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PCO: Final = "https://api.planningcenteronline.com"
"""Links point at the real host, as in recorded answers: a client that follows them instead of its base URL is found."""

ORGANIZATION: Final = {"type": "Organization", "id": "263468"}
"""The one church there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A resource object. `path` is the list it is linked under, `hidden` the relationships that PCO does not render."""

    type: str
    id: int
    path: str
    attributes: Mapping[str, Any]
    relationships: Mapping[str, Any]
    hidden: frozenset[str] = frozenset()

    def document(self) -> dict[str, Any]:
        """The object as PCO renders it in a list."""
        shown = dict(self.relationships)
        for name in self.hidden:
            shown.pop(name, None)
        return {
            "type": self.type,
            "id": str(self.id),
            "attributes": dict(self.attributes),
            "relationships": shown,
            "links": {"self": f"{PCO}{self.path}/{self.id}"},
        }


def related_ids(relationship: Any) -> tuple[str, ...]:
    """The ids that a relationship object names."""
    data = relationship.get("data") if isinstance(relationship, dict) else None
    if isinstance(data, dict):
        return (str(data.get("id")),)
    return tuple(str(one.get("id")) for one in data) if isinstance(data, list) else ()
