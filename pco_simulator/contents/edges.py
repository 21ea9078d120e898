"""What leads from one record to others: every edge of a kind, by its name in paths, in `include` and in links."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pco_catalog.catalog import Catalog, Entity
from pco_simulator.invented.chance import roller
from pco_simulator.invented.coherence import meant_by

NAMED_OTHERWISE: Final[Mapping[str, str]] = {
    "checked_in_at": "Station",
    "print_station": "Station",
    "first_check_in": "CheckIn",
    "last_check_in": "CheckIn",
    "school": "SchoolOption",
    "current_episode": "Episode",
    "next_signup_time": "SignupTime",
    "selected_attachment": "Attachment",
    "current_item_time": "ItemTime",
    "next_item_time": "ItemTime",
}
"""Edges that are not called like the kind they lead to; what is called after what a person did leads to a person."""

_PEOPLE: Final = frozenset(
    {"checked_in_by", "checked_out_by", "created_by", "updated_by", "owner", "joint_giver", "from", "controller"}
    | {"registrant_contact"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """From a kind to the kind `target`; None: to the church itself.

    `path` is the list below the owner, if there is one. `relationship`: the owner's record names the related ones.
    `is_alone`: the related record belongs to this owner only, has its number, and is listed nowhere.
    """

    name: str
    target: str | None
    many: bool
    path: str | None = None
    relationship: bool = False
    is_alone: bool = False


class Edges:
    """The edges of every kind in the catalogue."""

    def __init__(self, catalog: Catalog, *, seed: int) -> None:
        self._catalog = catalog
        self._seed = seed
        self._known: dict[str, Mapping[str, Edge]] = {}
        self._below: dict[tuple[str, str], list[Edge]] = {}
        self._holders: dict[str, str] = {}
        for entity in catalog.by_name.values():
            for path in (*entity.list_paths, *entity.single_paths):
                found = re.search(r"{(\w+)_id}/(\w+)$", path)
                if found:
                    edge = Edge(
                        name=found[2],
                        target=entity.name,
                        many=path in entity.list_paths,
                        path=path if path in entity.list_paths else None,
                        is_alone=not entity.list_paths and path == entity.single_paths[-1],
                    )
                    self._below.setdefault((entity.product, found[1]), []).append(edge)
                    if edge.is_alone:
                        self._holders[entity.name] = f"{entity.product}.{found[1].title().replace('_', '')}"

    def of(self, entity: Entity) -> Mapping[str, Edge]:
        """By name: what its record names, what is listed below it, and what else can be included."""
        if entity.name not in self._known:
            found = {edge.name: edge for edge in self._named(entity)}
            for edge in self._below.get((entity.product, entity.table_name), ()):
                found.setdefault(edge.name, edge)
            guessed = (self._guessed(entity, name) for name in sorted(entity.can_include - found.keys()))
            found |= {edge.name: edge for edge in guessed if edge is not None}
            self._known[entity.name] = found
        return self._known[entity.name]

    def chosen(self, entity: Entity, edge: Edge, number: int, count: int) -> int | None:
        """The number of the record that a to-one edge leads to where nothing names it; None: it is unset."""
        if not count:
            return None
        is_unset = number % 3 == 0
        return None if is_unset else roller(self._seed, entity.name, "edge", edge.name)(number) % count

    def holder(self, entity: Entity) -> str | None:
        """The kind of the only owner of a record that is listed nowhere; their numbers are the same."""
        return self._holders.get(entity.name)

    def belongings(self, entity: Entity) -> list[str]:
        """The kinds of which a record exists at most once for each record of this one, and with it only."""
        return [kind for kind, holder in self._holders.items() if holder == entity.name]

    def _named(self, entity: Entity) -> Iterable[Edge]:
        for name, one in entity.relationships.items():
            kind = self._kind(entity.product, one.resource)
            if one.resource == "Organization":
                yield Edge(name=name, target=None, many=False, relationship=True)
            elif kind is not None and one.is_always_rendered:
                yield Edge(name=name, target=kind, many=one.many, relationship=True)

    def _guessed(self, entity: Entity, name: str) -> Edge | None:
        if name == "organization":
            return Edge(name=name, target=None, many=False)
        resource = NAMED_OTHERWISE.get(name) or ("Person" if name in _PEOPLE else name.title().replace("_", ""))
        if name == "category":
            resource = f"{entity.resource}Category"
        kind = self._kind(entity.product, resource)
        if kind is not None:
            return Edge(name=name, target=kind, many=False)
        kind = self._kind(entity.product, resource.removesuffix("s"))
        return Edge(name=name, target=kind, many=True) if kind is not None else None

    def _kind(self, product: str, resource: str) -> str | None:
        name = f"{product}.{meant_by(resource)}"
        return name if name in self._catalog.by_name else None
