"""The records that an edge leads to, the same ones whichever way they are asked for: by list, `include` or link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pco_simulator.answering.answers import Answer
from pco_simulator.answering.documents import organization_document
from pco_simulator.contents.collection import Collection
from pco_simulator.contents.edges import Edge
from pco_simulator.contents.listing import ListFacts
from pco_simulator.contents.places import FixedPlace, NoRecord, Place, RecordPlace
from pco_simulator.contents.records import related_ids
from pco_simulator.contents.world import World
from pco_simulator.invented.identifiers import number_of, record_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Related:
    """Where an edge of `product` leads from one record, whose address is `owner`. `collection` None: to the church.

    `ids` are those that exist. `own` is what the record itself says of them, requested or not: it may name one that is
    gone, and call a campus a PrimaryCampus; None if it says nothing unless requested.
    """

    name: str
    product: str
    church: Mapping[str, str]
    owner: str
    many: bool
    collection: Collection | None
    ids: Sequence[int]
    own: Any

    @property
    def references(self) -> list[dict[str, str]]:
        """Type and id of each."""
        if self.collection is None:
            return [dict(self.church)]
        return [{"type": self.collection.entity.resource, "id": str(one)} for one in self.ids]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The same as pairs."""
        return [(one["type"], one["id"]) for one in self.references]

    def first(self, count: int) -> "Related":
        """The same edge if it led only to the first so many."""
        own = self.own[:count] if isinstance(self.own, list) else self.own if count else None
        return replace(self, ids=self.ids[: max(count, 0)], own=own)

    @property
    def address(self) -> str | None:
        """Where they are: a list below the owner, or the one record; None for an edge that is unset."""
        if self.many or self.collection is None:
            return f"{self.owner}/{self.name}"
        return address_of(self.collection.loaded(self.ids[0])) if self.ids else None

    def relationship(self) -> dict[str, Any]:
        """As the owner names them when they are included."""
        found = self.references
        shown = self.own if self.own is not None else found if self.many else found[0] if found else None
        return {"data": None} if shown is None else {"links": {"related": self.address}, "data": shown}


def address_of(document: Mapping[str, Any]) -> str:
    """Where a record is."""
    return str(document["links"]["self"])


def related_to(world: World, collection: Collection, document: Mapping[str, Any], name: str) -> Related | None:
    """What an edge of a record leads to, as things are now; None if its kind has no such edge."""
    edge = world.edges.of(collection.entity).get(name)
    if edge is None:
        return None
    target = world.collection(edge.target) if edge.target else None
    ids = _ids(world, collection, document, edge, target) if target else ()
    return Related(
        name=name,
        product=collection.entity.product,
        church=world.church,
        owner=address_of(document),
        many=edge.many,
        collection=target,
        ids=[one for one in ids if target and target.holds(one)],
        own=document["relationships"][name].get("data") if edge.relationship else None,
    )


def locate_edge(world: World, path: str) -> Place | None:
    """What is at the end of a to-one edge, `/people/v2/people/1/marital_status`; None if the path is no such edge."""
    parent, _, name = path.rpartition("/")
    place = world.locate(parent)
    if not (isinstance(place, RecordPlace) and isinstance(place.listing, Collection)):
        return None
    related = related_to(world, place.listing, place.listing.loaded(place.id), name)
    if related is None or related.many:
        return None
    if related.collection is None:
        return FixedPlace(answer=Answer(body=organization_document(world.church, place.listing.entity.product)))
    if not related.ids:
        return NoRecord()
    entity = related.collection.entity
    facts = ListFacts.of(entity, path, {"id": str(place.id), "type": place.type})
    return RecordPlace(listing=related.collection, facts=facts, id=related.ids[0], type=entity.resource)


def links_of(world: World, collection: Collection, identifier: int) -> dict[str, str | None]:
    """The links of a record that is shown alone: to what is listed below it or can be included; null if it is unset."""
    found, document = {}, collection.loaded(identifier)
    for name, edge in sorted(world.edges.of(collection.entity).items()):
        if edge.path is not None or edge.is_alone or name in collection.entity.can_include:
            related = related_to(world, collection, document, name)
            found[name] = related.address if related else None
    return found


def _ids(
    world: World, collection: Collection, document: Mapping[str, Any], edge: Edge, target: Collection
) -> Sequence[int]:
    identifier = int(document["id"])
    if edge.relationship:
        return _named(document, edge.name)
    if edge.path is not None:
        return world.ids_below(target.entity, collection, edge.name, identifier)
    if edge.many:
        return world.ids_through(target.entity, collection, edge.name, identifier)
    if edge.is_alone or edge.target == world.edges.holder(collection.entity):
        return (identifier,)
    if any(f"{{{edge.name}_id}}" in path for path in collection.entity.list_paths):
        return collection.owners_of(identifier, edge.name)
    between = _between(world, collection, edge)
    if between is not None:
        through = related_to(world, collection, document, between)
        if through is None or through.collection is None:
            return ()
        return [end for one in through.ids for end in _named(through.collection.loaded(one), edge.name)]
    shares = number_of(target.ids[-1]) + 1 if target.ids else 0
    number = world.edges.chosen(collection.entity, edge, number_of(identifier), shares)
    return () if number is None else (record_id(number),)


def _between(world: World, collection: Collection, edge: Edge) -> str | None:
    """The edge to what names the same: the tab of a field's value is that of the field."""
    for name, one in world.edges.of(collection.entity).items():
        if one.relationship and not one.many and one.target and not edge.is_alone:
            further = world.edges.of(world.collection(one.target).entity).get(edge.name)
            if further is not None and further.relationship and not further.many and further.target == edge.target:
                return name
    return None


def _named(document: Mapping[str, Any], name: str) -> list[int]:
    return [int(one) for one in related_ids(document.get("relationships", {}).get(name))]
