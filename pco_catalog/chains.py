"""Which lists lead to an entity that PCO shows only below its parents: pure, from the catalogue's paths."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from pco_catalog.ancestors import ids_in, is_shared, own_ids_in, path_below
from pco_catalog.catalog import Catalog, Entity, UnknownEntity


class NoChainError(ValueError):
    """The parents asked for do not lead to the entity; the message names those that do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One list below a parent: `entity` as `path` shows it, with a parent's id for each name in braces."""

    parent: Entity
    entity: Entity
    path: str

    @property
    def depth(self) -> int:
        """How many ids the path takes."""
        return len(ids_in(self.path))

    def path_of(self, scope: str) -> str:
        """The path of one parent; `scope` is its ids, outermost first, with slashes between them."""
        return path_below(self.path, scope)

    def parents_of(self, scope: str) -> dict[str, str]:
        """The ids in `scope` that are the records' own, by the names of whom they belong to: {"group": "12"}."""
        return own_ids_in(self.entity, self.path, scope)

    @property
    def is_shared(self) -> bool:
        """Whether one record is listed below many parents by this path."""
        return is_shared(self.entity, self.path)

    @property
    def include(self) -> tuple[str, ...]:
        """What has to be included, so that the records name ancestors that neither they nor the path tell."""
        return tuple(_named_by_include().get(self.path, ()))

    def scope_below(self, parent_scope: str, parent_id: str) -> str:
        """The scope of the children of the record `parent_id`, which was listed in `parent_scope` ('': top level)."""
        ids = [*parent_scope.split("/"), parent_id] if parent_scope else [parent_id]
        return "/".join(ids[-self.depth :])


@lru_cache(maxsize=1)
def _named_by_include() -> Mapping[str, Sequence[str]]:
    read = resources.files("pco_catalog").joinpath("named_by_include.json").read_text(encoding="utf-8")
    found: Mapping[str, Sequence[str]] = json.loads(read)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """The levels from a list at top level down to an entity, outermost first."""

    levels: tuple[Level, ...]

    @property
    def root(self) -> Entity:
        """Whose list at top level is read first."""
        return self.levels[0].parent

    @property
    def names(self) -> list[str]:
        """The parents' names, outermost first."""
        return [level.parent.name for level in self.levels]

    def level_of(self, entity: str) -> Level:
        """The level that lists an entity. Raises `NoChainError`."""
        for level in self.levels:
            if level.entity.name == entity:
                return level
        raise NoChainError(f"{entity} is not on the way {' > '.join([*self.names, self.levels[-1].entity.name])}")

    def below(self, entity: str) -> Level | None:
        """The level whose parents are the records of `entity`."""
        return next((level for level in self.levels if level.parent.name == entity), None)


def level_of_list(
    catalog: Catalog, entity: Entity, *, final_entity: str | None = None, below: Sequence[str] | None = None
) -> Level | None:
    """The level by which a run has listed an entity: its fan-out's, if `final_entity` and `below` name it.

    None where nothing like that is in the catalogue any more.
    """
    try:
        return chain_to(catalog, catalog.entity(final_entity or entity.name), below).level_of(entity.name)
    except (NoChainError, UnknownEntity):
        return None


def parents_of(catalog: Catalog, entity: Entity) -> list[str]:
    """Below which entities PCO lists this one; first the one it is named after, then those it says it belongs to."""
    belongs_to = {one.resource for one in entity.relationships.values() if not one.many}

    def distance(name: str) -> tuple[bool, bool]:
        resource = name.partition(".")[2]
        return not entity.resource.startswith(resource), resource not in belongs_to

    return sorted(dict.fromkeys(parent.name for parent, _ in _lists_below(catalog, entity)), key=distance)


def spread_for(catalog: Catalog, name: str, below: Sequence[str] | None) -> str:
    """The kind whose lists below parents are read for this one: its owners', if they are listed so themselves.

    Where the parents are named, in `below`, it is the kind itself.
    """
    read = catalog.read_for(catalog.entity(name))
    return name if below or read.list_path is not None else read.name


def chain_to(catalog: Catalog, entity: Entity, below: Sequence[str] | None = None) -> Chain:
    """The chain through the parents named in `below`, outermost first; left out, the shortest one.

    Raises `NoChainError`, and `UnknownEntity` for a parent that does not exist.
    """
    if below is not None and not below:
        raise NoChainError("below: name at least one parent, or leave it out")
    if below is None:
        found = next(_chains(catalog, entity), None)
        if found is None:
            raise NoChainError(f"{entity.name} is not listed below any parent")
        return found
    for name in below:
        catalog.entity(name)
    if catalog.entity(below[0]).list_path is None:
        raise NoChainError(f"below: {below[0]} is not listed at top level, so it cannot come first")
    for chain in _chains(catalog, entity, named=tuple(below)):
        return chain
    known = " or ".join(parents_of(catalog, entity)) or "no parent"
    raise NoChainError(
        f"below: {' > '.join(below)} does not lead to {entity.name}, which PCO lists below {known}; "
        "name the parents outermost first"
    )


def chains_to(catalog: Catalog, entity: Entity) -> list[Chain]:
    """Every chain of parents that can be named to lead to an entity, the usual one first."""
    return list({tuple(chain.names): chain for chain in reversed(list(_chains(catalog, entity)))}.values())[::-1]


def _chains(catalog: Catalog, entity: Entity, *, named: tuple[str, ...] | None = None) -> Iterator[Chain]:
    """All chains to an entity, shortest first; of those with the same length, through the owner first."""
    waiting: deque[tuple[Level, ...]] = deque(_continued(catalog, entity, ()))
    while waiting:
        levels = waiting.popleft()
        top = levels[0].parent
        names = tuple(level.parent.name for level in levels)
        if named is not None and named[-len(names) :] != names:
            continue
        if top.list_path is not None and names == (named or names) and levels[0].depth == 1:
            yield Chain(levels=levels)
        if len(levels) < (len(named) if named else 4) and (named or top.list_path is None):
            waiting.extend(_continued(catalog, top, levels))


def _continued(catalog: Catalog, entity: Entity, levels: tuple[Level, ...]) -> Iterator[tuple[Level, ...]]:
    order = parents_of(catalog, entity)
    lists = sorted(_lists_below(catalog, entity), key=lambda one: order.index(one[0].name))
    for parent, path in lists:
        if any(level.entity is parent or level.parent is parent for level in levels):
            continue
        if levels and not _fits(path, levels[0].path):
            continue
        yield (Level(parent=parent, entity=entity, path=path), *levels)


def _fits(upper: str, lower: str) -> bool:
    """Whether the ids known in `upper` and the id of one of its records are what `lower` asks for."""
    asked = ids_in(lower)[:-1]
    known = ids_in(upper)
    return not asked or known[-len(asked) :] == asked


def _lists_below(catalog: Catalog, entity: Entity) -> list[tuple[Entity, str]]:
    found: list[tuple[Entity, str]] = []
    for path in entity.list_paths:
        if "{" in path:
            prefix = path[: path.rindex("/{")]
            found.extend((one, path) for one in catalog.by_name.values() if prefix in one.list_paths)
    return found
