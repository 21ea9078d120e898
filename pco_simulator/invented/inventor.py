"""Invents the records of one entity, whole or one attribute at a time."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pco_catalog.catalog import Entity, Relationship
from pco_simulator.contents.records import Record, related_ids
from pco_simulator.invented.chance import roller
from pco_simulator.invented.coherence import agreeing_maker, agreeing_target, agreeing_targets, meant_by, rendered_type
from pco_simulator.invented.counted import counted_by
from pco_simulator.invented.identifiers import number_of, record_id
from pco_simulator.invented.invention import Counts, Maker, identifier_as, maker_of

Peers = Callable[[str], "Inventor"]
Children = Callable[[str, str, int], Sequence[int]]
"""`children(entity, relationship, id)`: the ids of the records of an entity whose relationship names that one."""
Kinds = Mapping[tuple[str, str], str]
"""From product and resource to the entity whose records a relationship names."""
Named = int | str | Sequence[int | str] | None
"""What a relationship leads to: the id of one record, those of several, or nothing."""


def _shared_out(count: int) -> Maker:
    """Every owner has its share."""
    return lambda number: number % count


class Inventor:
    """Makes records of `entity` as they were before anyone changed them: the same ones for the same seed.

    A person is the same one in every product, as is mostly so in PCO; so names depend on the resource only.
    """

    def __init__(
        self,
        entity: Entity,
        *,
        seed: int,
        counts: Counts,
        kinds: Kinds,
        church: Mapping[str, str],
        peers: Peers,
        children: Children,
    ) -> None:
        self.entity = entity
        self._seed = seed
        self._topic = (seed, entity.resource if entity.resource == "Person" else entity.name)
        self._counts = counts
        self._kinds = kinds
        self._church = church
        self._peers = peers
        self._children = children
        self._makers: dict[str, Maker] = {}
        self._targets: dict[str, tuple[Maker | None, Maker, int]] = {}
        self._shown = tuple(name for name, attribute in entity.attributes.items() if not attribute.on_request)
        self._types = {
            name: rendered_type(entity.name, name, one.resource) for name, one in entity.relationships.items()
        }
        self._unnamed_owners = self._owners_by_path()
        self._parents = set() if entity.list_path else self._names_in_paths()
        self._path_names = re.findall(r"{(\w+)_id}", self._template)
        self._hidden = frozenset(
            {name for name, one in entity.relationships.items() if not one.is_always_rendered}
            | self._unnamed_owners.keys()
        )

    def maker(self, name: str) -> Maker:
        """What makes the values of an attribute, from the number of the record. Raises `KeyError` if there is none."""
        if name not in self._makers:
            agreeing = agreeing_maker(
                self.entity.name, name, lambda entity, other: self._peers(entity).maker(other), self._counts
            )
            attribute = self.entity.attributes[name]
            if agreeing is None and attribute.type == "primary_key":
                agreeing = self._related_id(name)
            if agreeing is None:
                agreeing = self._count(name)
            self._makers[name] = agreeing or maker_of(self._topic, self._counts[self.entity.name], name, attribute)
        return self._makers[name]

    def _related_id(self, name: str) -> Maker | None:
        """What makes the values of `tab_id`: the id that the relationship `tab` names, if there is one."""
        relationship = name.removesuffix("_id")
        one = self.entity.relationships.get(relationship)
        if one is None:
            return None
        if one.resource == "Organization":
            return lambda number: identifier_as(name, self._church["id"])
        return lambda number: identifier_as(name, next(map(str, self.related(relationship, number)), None))

    def _count(self, name: str) -> Maker | None:
        counted = counted_by(self.entity.name, name)
        if counted is None:
            return None
        return lambda number: len(self._children(counted.child, counted.relationship, record_id(number)))

    def attributes(self, number: int, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The values of the named attributes, or of all those that are shown without being asked for."""
        return {name: self.maker(name)(number) for name in (self._shown if names is None else names)}

    def record(self, identifier: int) -> Record:
        """The record with an id."""
        number = number_of(identifier)
        return Record(
            type=self.entity.resource,
            id=identifier,
            path=self.path({}, number),
            attributes=self.attributes(number),
            relationships={name: self._related(name, one, number) for name, one in self.entity.relationships.items()},
            hidden=self._hidden,
        )

    def related(self, name: str, number: int) -> Sequence[int]:
        """The ids that a relationship of a record names, without inventing the rest of it."""
        relationship = self.entity.relationships.get(name)
        if relationship is None:
            owner = self._unnamed_owner(name, number)
            return () if owner is None else (record_id(owner),)
        if relationship.resource == "Organization":
            return ()
        if relationship.many:
            return [record_id(one) for one in self._targets_of(name, relationship.resource, number)]
        target = self._target(name, number)
        return () if target is None else (record_id(target),)

    def path(self, related: Mapping[str, Any], number: int) -> str:
        """The list at top level, or the one below the parent: the one in `related`, or else the invented one."""
        path = self._template
        for name in self._path_names:
            owner = related_ids(related[name]) if name in related else self.related(name, number)
            path = path.replace(f"{{{name}_id}}", str(next(iter(owner), record_id(0))))
        return path

    @property
    def _template(self) -> str:
        entity = self.entity
        return entity.list_path or next(iter(entity.list_paths), f"/{entity.product}/v2/unlisted")

    def _unnamed_owner(self, name: str, number: int) -> int | None:
        kind = self._unnamed_owners.get(name)
        if kind is None or not self._counts[kind]:
            return None
        fixed = agreeing_target(self.entity.name, name, self._counts)
        return fixed(number) if fixed is not None else _shared_out(self._counts[kind])(number)

    def _names_in_paths(self) -> set[str]:
        return {name for path in self.entity.list_paths for name in re.findall(r"{(\w+)_id}", path)}

    def _owners_by_path(self) -> dict[str, str]:
        """The kinds of owners that are known from the paths of the lists only: each has a share of the records."""
        kinds = {
            name: self._kinds.get((self.entity.product, meant_by(name.title().replace("_", ""))))
            for name in self._names_in_paths()
        }
        return {name: kind for name, kind in kinds.items() if kind and name not in self.entity.relationships}

    def _related(self, name: str, relationship: Relationship, number: int) -> dict[str, Any]:
        if relationship.many:
            numbers = self._targets_of(name, relationship.resource, number)
            return {"data": [{"type": relationship.resource, "id": str(record_id(one))} for one in numbers]}
        if relationship.resource == "Organization":
            return {"data": self._church}
        target = self._target(name, number)
        return self.reference(name, None if target is None else record_id(target))

    def reference(self, name: str, named: Named) -> dict[str, Any]:
        """A relationship to one record, or to several, as the record has it.

        Raises `KeyError` for one that the entity has not.
        """
        kind = self._unnamed_owners[name].partition(".")[2] if name in self._unnamed_owners else self._types[name]
        if isinstance(named, Sequence) and not isinstance(named, str):
            return {"data": [{"type": kind, "id": str(one)} for one in named]}
        return {"data": None if named is None else {"type": kind, "id": str(named)}}

    def _targets_of(self, name: str, resource: str, number: int) -> Sequence[int]:
        several = agreeing_targets(self.entity.name, name)
        count = self._count_of(resource)
        if several is not None:
            return [one for one in several(number) if one < count]
        rolled = roller(self._seed, self.entity.name, "to", name)(number)
        return sorted({(rolled // 3 + one) % count for one in range(rolled % 3)}) if count else []

    def _target(self, name: str, number: int) -> int | None:
        if name not in self._targets:
            fixed = agreeing_target(self.entity.name, name, self._counts)
            count = self._count_of(self._types[name])
            if fixed is None and name in self._parents and count:
                fixed = _shared_out(count)
            self._targets[name] = (fixed, roller(self._seed, self.entity.name, "to", name), count)
        fixed, roll, count = self._targets[name]
        if fixed is not None:
            target = fixed(number)
            return target if target < count else None
        rolled = roll(number)
        return rolled // 11 % count if count and rolled % 11 else None

    def _count_of(self, resource: str) -> int:
        entity = self._kinds.get((self.entity.product, meant_by(resource)))
        return self._counts[entity] if entity else 0
