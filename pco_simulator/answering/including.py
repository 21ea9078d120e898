"""Sideloading: what `include=` adds to the records of an answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pco_simulator.answering.documents import organization, sparse
from pco_simulator.contents.collection import Collection
from pco_simulator.contents.related import Related, related_to
from pco_simulator.contents.world import World
from pco_simulator.trouble.lapses import CAPPED, CUT, MISSING, SPOILT, UNNAMED, UNSHOWN, Lapses

Fields = Mapping[str, Sequence[str]]
"""What `fields[Type]` names, by type."""
Documents = list[dict[str, Any]]
Key = tuple[str, str]
"""Type and id."""


def include(
    world: World,
    collection: Collection,
    documents: Documents,
    names: Sequence[str],
    fields: Fields,
    lapses: Lapses = Lapses(),  # noqa: B008 - it is frozen and empty
) -> list[bytes]:
    """The included records, each once; the documents get a relationship for each edge that is named.

    Names have one level or two. A record that `fields` cuts down leads nowhere along edges that it does not name; an
    edge that PCO does not include is left out without a word. Along two levels the record itself names what is at the
    end, too, with a link to nowhere, as in recorded answers. Raises `TooMuchIncluded`.
    """
    included, levels = _Included(world, fields, lapses), _levels(names)
    for document in documents:
        for name, below in levels.items():
            related = included.follow(collection, document, name)
            for further in below:
                ends = [] if related is None else included.follow_all(related, further)
                if ends:
                    relationship = {"links": {"related": None}, "data": ends}
                    document["relationships"] = {**document.get("relationships", {}), further: relationship}
    return included.rows()


def _levels(names: Sequence[str]) -> dict[str, list[str]]:
    levels: dict[str, list[str]] = {}
    for name in names:
        first, _, second = name.partition(".")
        levels.setdefault(first, [])
        if second:
            levels[first].append(second)
    return levels


class _Included:
    """The included records by type and id, as they are so far: None for one as its own list shows it."""

    def __init__(self, world: World, fields: Fields, lapses: Lapses) -> None:
        self._world = world
        self._fields = fields
        self._lapses = lapses
        self._known: dict[Key, dict[str, Any] | None] = {}
        self._sources: dict[Key, Collection] = {}
        self._unshown: set[Key] = set()
        self._spoilt: set[Key] = set()
        self._counts: Counter[str] = Counter()

    def follow(self, collection: Collection, document: dict[str, Any], name: str, above: str = "") -> Related | None:
        """Include what an edge leads to, and let the document name it; None if the edge is not one to include.

        `above` is the edge that led to this document.
        """
        entity, edge = collection.entity, f"{above}.{name}" if above else name
        if name not in entity.can_include or name not in self._fields.get(entity.resource, (name,)):
            return None
        related = related_to(self._world, collection, document, name)
        if related is None or self._lapses.rule(MISSING, edge, document["id"]):
            return None
        cut = self._lapses.rule(CUT, edge, document["id"])
        if cut is not None:
            related = related.first(cut.number)
        capped = self._lapses.rule(CAPPED, edge, document["id"])
        if capped is not None:
            related = related.first(capped.number - self._counts[edge])
        is_unnamed = self._lapses.rule(UNNAMED, edge, document["id"])
        named = related.first(len(related.ids) - 1) if is_unnamed else related
        document["relationships"] = {**document.get("relationships", {}), name: named.relationship()}
        self._add(related)
        self._counts[edge] += len(related.ids)
        if related.ids and self._lapses.rule(UNSHOWN, edge, document["id"]):
            self._unshown.add(related.keys[-1])
        if related.ids and self._lapses.rule(SPOILT, edge, document["id"]):
            self._spoilt.add(related.keys[-1])
        return related

    def _add(self, related: Related) -> None:
        for key in related.keys:
            if related.collection is None:
                self._known[key] = organization(related.church, related.product)
            elif key not in self._known:
                self._known[key], self._sources[key] = None, related.collection

    def follow_all(self, related: Related, name: str) -> list[dict[str, str]]:
        """Follow an edge from all the included records that another one led to, and return what is at the ends."""
        if related.collection is None:
            return []
        ends = []
        for key in related.keys:
            way = self.follow(related.collection, self._document(key), name, related.name)
            ends += way.references if way is not None else []
        return ends

    def _document(self, key: Key) -> dict[str, Any]:
        document = self._known[key]
        if document is None:
            document = self._known[key] = self._sources[key].loaded(int(key[1]))
        return document

    def rows(self) -> list[bytes]:
        """All of them, cut down to the fields that were named for their type."""
        self._lapses.check_size(self._counts)
        return [self._row(key, one) for key, one in self._known.items() if key not in self._unshown]

    def _row(self, key: Key, document: dict[str, Any] | None) -> bytes:
        source = self._sources.get(key)
        if key in self._spoilt:
            return orjson.dumps({**self._document(key), "attributes": []})
        if source is not None and key[0] in self._fields:
            return orjson.dumps(sparse(self._document(key), source, int(key[1]), self._fields[key[0]]))
        return source.rendered(int(key[1])) if document is None and source is not None else orjson.dumps(document)
