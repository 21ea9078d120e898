"""How each resource is read, and why: chosen from what the catalogue says, never coded per entity. Pure."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.chains import Chain
from pco_catalog.changes import has_delta
from pco_catalog.due_lists import cheapest_chain, load_due_rules
from pco_catalog.patterns import fits
from pco_walks.window import Mode

OrganizationMode = Literal["full", "delta", "rest", "lists"]
"""full: everything there is. delta: what changed, where PCO can tell. rest: what no delta can tell, and below parents
what is due. lists: every list at top level in full."""


NOT_COUNTED: Final[Mapping[str, int]] = {}
EVERYTHING: Final = ("*",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How an entity is read: from its list at top level in a `mode`, or below its parents along a `chain`.

    Of lists below parents all, or, where it is not `is_whole`, those that a full sync wants: the nights read the rest.
    """

    entity: Entity
    mode: Mode = "full"
    chain: Chain | None = None
    is_whole: bool = True

    @property
    def depth(self) -> int:
        """How many levels of parents it is below."""
        return 0 if self.chain is None else len(self.chain.levels)


def ways_of(
    catalog: Catalog,
    entities: Sequence[Entity],
    *,
    mode: OrganizationMode,
    known: Set[str],
    distrusted: Set[tuple[str, str]] = frozenset(),
    counts: Mapping[str, int] = NOT_COUNTED,
    include: Sequence[str] = EVERYTHING,
) -> tuple[list[Way], list[Way]]:
    """What is read at top level, and what below parents, in this order; of each what is wanted most comes first.

    `counts` are records by entity, as far as they are known: they choose the chain of parents. `include` are
    the patterns by which the entities were chosen: without any, a full sync leaves rare kinds to the nights. `known`
    are the entities that have a watermark; one without has to be read in full before a delta can follow it. A kind that
    comes with its owners is read by their list, unless PCO was seen not to keep to its include: `distrusted`.
    """
    top, below, rules = [], [], load_due_rules()
    for entity in sorted(_read_for(catalog, entities, distrusted), key=rules.rank):
        if entity.list_path is None:
            rule = rules.of(entity)
            is_left = mode == "full" and not include and rule.is_rare
            if mode in ("full", "rest") and not is_left:
                chain = cheapest_chain(catalog, entity, counts)
                below.append(Way(entity=entity, chain=chain, is_whole=rule.is_whole_in(include, entity.name)))
        elif mode in ("full", "lists"):
            top.append(Way(entity=entity))
        elif mode == "delta" and has_delta(entity):
            top.append(Way(entity=entity, mode="delta" if entity.name in known else "full"))
        elif mode == "rest" and not has_delta(entity):
            top.append(Way(entity=entity))
    return top, below


def excluded_in_vain(
    catalog: Catalog, entities: Sequence[Entity], exclude: Sequence[str], distrusted: Set[tuple[str, str]] = frozenset()
) -> list[str]:
    """What `exclude` names and is read all the same, each with the reason: a kind and its owner are read together."""
    read = {one.name for one in _read_for(catalog, entities, distrusted)}
    found = []
    for one in catalog.entities():
        owner = one.sideload.owner if one.sideload is not None and one.comes_with_owner(distrusted) else None
        if not any(fits(one, pattern) for pattern in exclude):
            continue
        if owner in read:
            found.append(f"{one.name} comes with {owner}")
        elif one.name in read:
            brought = {other.entity for other in catalog.sideloads.get(one.name, ())}
            wanted = ", ".join(other.name for other in entities if other.name in brought)
            found.append(f"{one.name} is read for {wanted}")
    return found


def stages_of(below: Sequence[Way]) -> list[list[Way]]:
    """What is read below parents, in the order in which it is read: parents before what is below them.

    Of several what is wanted first goes ahead; rare kinds come last.
    """
    rules = load_due_rules()

    def place(way: Way) -> tuple[bool, int, bool]:
        return rules.of(way.entity).is_rare, way.depth, not rules.is_first(way.entity)

    return [list(stage) for _, stage in groupby(sorted(below, key=place), key=place)]


def _read_for(catalog: Catalog, entities: Sequence[Entity], distrusted: Set[tuple[str, str]]) -> list[Entity]:
    """The entities to be read for these, each once; one that comes with its owners, and not now, needs a list."""
    read: dict[str, Entity] = {}
    for entity in entities:
        found = catalog.read_for(entity, distrusted)
        read[found.name] = found
    return list(read.values())
