"""How each resource is read, and why: chosen from what the catalogue says, never coded per entity. Pure."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.chains import Chain, chain_to
from pco_walks.window import Mode, delta_attribute

OrganizationMode = Literal["full", "delta", "rest"]
"""full: everything there is. delta: what changed, where PCO can tell. rest: all that no delta can tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How an entity is read: from its list at top level in a `mode`, or below its parents along a `chain`."""

    entity: Entity
    mode: Mode = "full"
    chain: Chain | None = None


def ways_of(
    catalog: Catalog,
    entities: Sequence[Entity],
    *,
    mode: OrganizationMode,
    known: Set[str],
    distrusted: Set[tuple[str, str]] = frozenset(),
) -> tuple[list[Way], list[Way]]:
    """What is read at top level, and what below parents, in this order.

    `known` are the entities that have a watermark; one without has to be read in full before a delta can follow it. A
    kind that comes with its owners is read by their list, unless PCO was seen not to keep to its include: `distrusted`.
    """
    top, below = [], []
    for entity in _read_for(catalog, entities, distrusted):
        has_delta = entity.list_path is not None and delta_attribute(entity) is not None
        if entity.list_path is None:
            if mode != "delta":
                below.append(Way(entity=entity, chain=chain_to(catalog, entity)))
        elif mode == "full":
            top.append(Way(entity=entity))
        elif mode == "delta" and has_delta:
            top.append(Way(entity=entity, mode="delta" if entity.name in known else "full"))
        elif mode == "rest" and not has_delta:
            top.append(Way(entity=entity))
    return top, below


def _read_for(catalog: Catalog, entities: Sequence[Entity], distrusted: Set[tuple[str, str]]) -> list[Entity]:
    """The entities to be read for these, each once; one that comes with its owners, and not now, needs a list."""
    read: dict[str, Entity] = {}
    for entity in entities:
        if entity.sideload is not None and entity.comes_with_owner(distrusted):
            entity = catalog.entity(entity.sideload.owner)
        read[entity.name] = entity
    return list(read.values())
