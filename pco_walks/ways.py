"""How each resource is read, and why: chosen from what the catalogue says, never coded per entity. Pure."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, Literal

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.chains import Chain
from pco_catalog.due_lists import cheapest_chain, load_due_rules
from pco_walks.window import Mode, delta_attribute

OrganizationMode = Literal["full", "delta", "rest", "lists"]
"""full: everything there is. delta: what changed, where PCO can tell. rest: what no delta can tell, and below parents
what is due. lists: every list at top level in full."""


NOT_COUNTED: Final[Mapping[str, int]] = {}


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
    counts: Mapping[str, int] = NOT_COUNTED,
    with_rare: bool = True,
) -> tuple[list[Way], list[Way]]:
    """What is read at top level, and what below parents, in this order; of each what is wanted most comes first.

    `counts` are records by entity, as far as they are known: they choose the chain of parents. Without `with_rare`
    a full sync leaves rare kinds to the nights. `known` are the entities that have a watermark; one without has to be
    read in full before a delta can follow it. A kind that comes with its owners is read by their list, unless PCO was
    seen not to keep to its include: `distrusted`.
    """
    top, below, rules = [], [], load_due_rules()
    for entity in sorted(_read_for(catalog, entities, distrusted), key=rules.rank):
        has_delta = entity.list_path is not None and delta_attribute(entity) is not None
        if entity.list_path is None:
            is_left = mode == "full" and not with_rare and rules.of(entity).is_rare
            if mode in ("full", "rest") and not is_left:
                below.append(Way(entity=entity, chain=cheapest_chain(catalog, entity, counts)))
        elif mode in ("full", "lists"):
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
        found = catalog.read_for(entity, distrusted)
        read[found.name] = found
    return list(read.values())
