"""Sideloading: what `include=` adds to the records of a page."""

from collections.abc import Sequence
from typing import Any

from pco_simulator.collection import Collection
from pco_simulator.records import PCO, related_ids
from pco_simulator.world import World


def include(
    world: World, collection: Collection, documents: Sequence[dict[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The included records, each once; the documents get a relationship for each name that leads to any.

    Names lead along a relationship of the record, or to a collection whose records name it as their owner. The rest
    is left out without a word.
    """
    included: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        for name in names:
            for one in _related(world, collection, document, name):
                included[one["type"], one["id"]] = one
    return list(included.values())


def _related(world: World, collection: Collection, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    product = collection.entity.product
    known = collection.entity.relationships.get(name)
    if known is not None:
        target = world.collection_of(product, known.resource)
        ids = [int(one) for one in related_ids(document["relationships"].get(name))] if target else []
        return [target.document(one) for one in ids if target.holds(one)] if target else []
    target, owner = world.collection_of(product, _singular(name)), collection.entity.table_name
    if target is None or owner not in target.entity.relationships:
        return []
    children = [target.document(one) for one in target.children_of(owner, int(document["id"]))]
    document["relationships"] = {
        **document["relationships"],
        name: {
            "links": {"related": f"{PCO}{collection.entity.list_path}/{document['id']}/{name}"},
            "data": [{"type": one["type"], "id": one["id"]} for one in children],
        },
    }
    return children


def _singular(name: str) -> str:
    """`phone_numbers` becomes PhoneNumber, `addresses` becomes Address."""
    stem = name[:-2] if name.endswith("sses") else name.removesuffix("s")
    return stem.title().replace("_", "")
