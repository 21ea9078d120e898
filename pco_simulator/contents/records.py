"""One record of the API: a JSON:API resource object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PCO: Final = "https://api.planningcenteronline.com"
"""Links point at the real host, as in recorded answers: a client that follows them instead of its base URL is found."""

ORGANIZATION: Final = {"type": "Organization", "id": "263468"}
"""The church, if it is the only one."""


PAGES_FOR_PEOPLE: Final = {
    ("people", "Person"): "https://people.planningcenteronline.com/people/AC{id}",
    ("services", "Person"): "https://services.planningcenteronline.com/people/AC{id}",
    ("giving", "Donation"): "https://giving.planningcenteronline.com/donations/{id}",
}
"""Kinds whose records link to a page that people look at, as far as any was recorded; by product and type."""


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
        """The object as PCO renders it in a list: without `relationships` if it has none."""
        shown = {name: one for name, one in self.relationships.items() if name not in self.hidden}
        links = {"self": self.address}
        page = PAGES_FOR_PEOPLE.get((self.path.split("/")[1], self.type))
        if page is not None:
            links["html"] = page.format(id=self.id)
        document = {"type": self.type, "id": str(self.id), "attributes": dict(self.attributes)}
        return {**document, "relationships": shown, "links": links} if shown else {**document, "links": links}

    @property
    def address(self) -> str:
        """Where the record itself is."""
        return f"{PCO}{self.path}/{self.id}"


def related_ids(relationship: Any) -> tuple[str, ...]:
    """The ids that a relationship object names."""
    data = relationship.get("data") if isinstance(relationship, dict) else None
    if isinstance(data, dict):
        return (str(data.get("id")),)
    return tuple(str(one.get("id")) for one in data) if isinstance(data, list) else ()
