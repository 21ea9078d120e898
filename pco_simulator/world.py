"""What exists in the simulated Planning Center, and how it changes while it is read."""

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from pco_catalog.catalog import Entity, load_catalog
from pco_simulator.invention import chance, invented, time_text
from pco_simulator.records import Record, poisoned

FIRST_ID: Final = 100_000_001
STEP: Final = 3
"""Ids have gaps, as real ones have."""


class Collection:
    """All records of one entity, in the order of their ids. `version` changes whenever an answer may change."""

    def __init__(self, entity: Entity, count: int, invent: Callable[[Entity, int, int], Record]) -> None:
        self.entity = entity
        self.version = 0
        self.ids = [FIRST_ID + STEP * number for number in range(count)]
        self._count = count
        self._invent = invent
        self._changed: dict[int, Record] = {}
        self._poison: dict[int, str] = {}
        self._rendered: dict[int, bytes] = {}

    def record(self, record_id: int) -> Record:
        """The record as it is now; one that was never touched is invented anew each time."""
        changed = self._changed.get(record_id)
        return changed or self._invent(self.entity, (record_id - FIRST_ID) // STEP, self._count)

    def holds(self, record_id: int) -> bool:
        """Whether the record exists now."""
        place = bisect.bisect_left(self.ids, record_id)
        return place < len(self.ids) and self.ids[place] == record_id

    def rendered(self, record_id: int) -> bytes:
        """The record as an element of a JSON list."""
        known = self._rendered.get(record_id)
        if known is None:
            record = self.record(record_id)
            kind = self._poison.get(record_id)
            known = poisoned(record, kind) if kind else orjson.dumps(record.document())
            self._rendered[record_id] = known
        return known

    def create(self, count: int) -> list[int]:
        """New records with the highest ids, created now."""
        first = (self.ids[-1] if self.ids else FIRST_ID - STEP) + STEP
        new = [max(first, FIRST_ID + STEP * self._count) + STEP * number for number in range(count)]
        now = time_text(datetime.now(UTC))
        for record_id in new:
            record = self._invent(self.entity, (record_id - FIRST_ID) // STEP, self._count)
            self._put(record, {name: now for name in ("created_at", "updated_at") if name in record.attributes})
            self.ids.append(record_id)
        return new

    def edit(self, record_id: int, attributes: Mapping[str, Any]) -> None:
        """Change attributes; `updated_at` becomes now."""
        record = self.record(record_id)
        now = {"updated_at": time_text(datetime.now(UTC))} if "updated_at" in record.attributes else {}
        self._put(record, {**now, **attributes})

    def delete(self, record_id: int) -> None:
        """The record is gone, and everything behind it moves up one place."""
        self.ids.remove(record_id)
        self.version += 1

    def poison(self, record_id: int, kind: str) -> None:
        """From now on the record is rendered badly."""
        poisoned(self.record(record_id), kind)
        self._poison[record_id] = kind
        self._rendered.pop(record_id, None)
        self.version += 1

    def documents(self) -> Iterator[dict[str, Any]]:
        """Every record as it is now, unspoilt."""
        return (self.record(record_id).document() for record_id in self.ids)

    def _put(self, record: Record, attributes: Mapping[str, Any]) -> None:
        self._changed[record.id] = Record(
            type=record.type,
            id=record.id,
            path=record.path,
            attributes={**record.attributes, **attributes},
            relationships=record.relationships,
        )
        self._rendered.pop(record.id, None)
        self.version += 1


class World:
    """Every collection of the catalogue, and the paths that lead to them."""

    def __init__(self, *, seed: int, people: int, groups: int) -> None:
        self.seed = seed
        self._counts = {
            "people.Person": people,
            "people.Email": people,
            "people.PhoneNumber": people * 3 // 4,
            "people.Household": people // 3,
            "people.Campus": 4,
            "groups.Group": groups,
            "groups.GroupType": 6,
            "groups.Event": groups * 12,
            "groups.Membership": groups * 10,
        }
        self._collections: dict[str, Collection] = {}
        self._by_resource = {(one.product, one.resource): one for one in load_catalog().entities()}
        self._lists: dict[str, Entity] = {}
        self._nested: list[tuple[re.Pattern[str], str, Entity]] = []
        for entity in load_catalog().entities():
            for path in entity.list_paths:
                self._add_path(entity, path)

    def collection(self, name: str) -> Collection:
        """The collection of an entity. Raises `UnknownEntity`."""
        if name not in self._collections:
            entity = load_catalog().entity(name)
            self._collections[name] = Collection(entity, self._counts.get(name, 3), self._invent)
        return self._collections[name]

    def find_list(self, path: str) -> tuple[Collection, str, str] | None:
        """The collection at a path, and the relationship and id of the parent it is limited to ('' if none)."""
        entity = self._lists.get(path)
        if entity is not None:
            return self.collection(entity.name), "", ""
        for pattern, relationship, nested in self._nested:
            found = pattern.fullmatch(path)
            if found:
                return self.collection(nested.name), relationship, found[1]
        return None

    def find_record(self, path: str) -> Record | None:
        """The single record at a path, if it exists."""
        parent, _, last = path.rpartition("/")
        entity = self._lists.get(parent)
        if entity is None or not last.isdecimal():
            return None
        collection = self.collection(entity.name)
        return collection.record(int(last)) if collection.holds(int(last)) else None

    def _add_path(self, entity: Entity, path: str) -> None:
        if path == entity.list_path:
            self._lists.setdefault(path, entity)
            return
        names = re.findall(r"{(\w+)_id}", path)
        if len(names) == 1 and names[0] in entity.relationships:
            pattern = re.sub(r"{\w+}", r"(\\d+)", path)
            self._nested.append((re.compile(pattern), names[0], entity))

    def _invent(self, entity: Entity, number: int, count: int) -> Record:
        attributes = {
            name: invented(self.seed, entity.name, number, count, name, attribute)
            for name, attribute in entity.attributes.items()
            if not attribute.on_request
        }
        if "name" in attributes and {"first_name", "last_name"} <= attributes.keys():
            attributes["name"] = f"{attributes['first_name']} {attributes['last_name']}"
        relationships: dict[str, Any] = {
            name: {"data": [] if one.many else self._target(entity, number, name, one.resource)}
            for name, one in entity.relationships.items()
        }
        return Record(
            type=entity.resource,
            id=FIRST_ID + STEP * number,
            path=entity.list_path or f"/{entity.product}/v2/{entity.table_name}",
            attributes=attributes,
            relationships=relationships,
        )

    def _target(self, entity: Entity, number: int, name: str, resource: str) -> dict[str, str] | None:
        known = self._by_resource.get((entity.product, resource.removeprefix("Primary")))
        count = self._counts.get(known.name, 3) if known else 0
        roll = chance(self.seed, entity.name, number, "to", name)
        if not count or roll % 11 == 0:
            return None
        return {"type": resource, "id": str(FIRST_ID + STEP * (roll % count))}
