"""Sideloading: what `include=` adds to the records of an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from pco_simulator.collection import Collection
from pco_simulator.documents import organization, sparse
from pco_simulator.records import Record
from pco_simulator.related import Related, related_to
from pco_simulator.world import World

Fields = Mapping[str, Sequence[str]]
"""What `fields[Type]` names, by type."""
Documents = list[dict[str, Any]]


def include(
    world: World, collection: Collection, documents: Documents, names: Sequence[str], fields: Fields
) -> Documents:
    """The included records, each once; the documents get a relationship for each edge that is named.

    Names have one level or two. A record that `fields` cuts down leads nowhere along edges that it does not name; an
    edge that PCO does not include is left out without a word. Along two levels the record itself names what is at the
    end, too, with a link to nowhere, as in recorded answers.
    """
    included = _Included(world, fields)
    for document in documents:
        record = collection.record(int(document["id"]))
        for name, below in _levels(names).items():
            related = included.follow(collection, record, document, name)
            for further in below:
                ends = [] if related is None else included.follow_all(related, further)
                if ends:
                    relationship = {"links": {"related": None}, "data": ends}
                    document["relationships"] = {**document.get("relationships", {}), further: relationship}
    return included.documents()


def _levels(names: Sequence[str]) -> dict[str, list[str]]:
    levels: dict[str, list[str]] = {}
    for name in names:
        first, _, second = name.partition(".")
        levels.setdefault(first, [])
        if second:
            levels[first].append(second)
    return levels


class _Included:
    """The included records by type and id, as they are so far."""

    def __init__(self, world: World, fields: Fields) -> None:
        self._world = world
        self._fields = fields
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._sources: dict[tuple[str, str], Collection] = {}

    def follow(self, collection: Collection, record: Record, document: dict[str, Any], name: str) -> Related | None:
        """Include what an edge leads to, and let the document name it; None if the edge is not one to include."""
        entity = collection.entity
        if name not in entity.can_include or name not in self._fields.get(entity.resource, (name,)):
            return None
        related = related_to(self._world, collection, record, name)
        if related is None:
            return None
        document["relationships"] = {**document.get("relationships", {}), name: related.relationship()}
        if related.collection is None:
            church = organization(entity.product)
            self._known[church["type"], church["id"]] = church
        else:
            for one in related.ids:
                key = (related.collection.entity.resource, str(one))
                if key not in self._known:
                    self._known[key], self._sources[key] = related.collection.document(one), related.collection
        return related

    def follow_all(self, related: Related, name: str) -> list[dict[str, str]]:
        """Follow an edge from all the included records that another one led to, and return what is at the ends."""
        if related.collection is None:
            return []
        kind, ends = related.collection.entity.resource, []
        for one in related.ids:
            way = self.follow(related.collection, related.collection.record(one), self._known[kind, str(one)], name)
            ends += way.references if way is not None else []
        return ends

    def documents(self) -> Documents:
        """All of them, cut down to the fields that were named for their type."""
        return [
            sparse(document, self._sources[key], int(key[1]), self._fields[key[0]])
            if key[0] in self._fields and key in self._sources
            else document
            for key, document in self._known.items()
        ]
