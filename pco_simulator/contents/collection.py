"""All records of one entity, and how they change."""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from pco_catalog.catalog import Entity
from pco_simulator.contents.listing import in_order
from pco_simulator.contents.records import Record, related_ids
from pco_simulator.invented.identifiers import number_of, record_id
from pco_simulator.invented.invention import time_text
from pco_simulator.invented.inventor import Inventor, Named

_RENDERED_KEPT: Final = 250_000
"""Of larger collections the rest is rendered each time, to keep memory small: such are read once, parent by parent."""


class Collection:
    """Records in the order of their ids. `version` changes whenever an answer may change."""

    def __init__(self, inventor: Inventor, numbers: Iterable[int], *, clock: Callable[[], datetime]) -> None:
        self.entity: Entity = inventor.entity
        self.version = 0
        self.ids = [record_id(number) for number in numbers]
        self._highest = self.ids[-1] if self.ids else record_id(-1)
        self._inventor = inventor
        self._clock = clock
        self._changed: dict[int, Record] = {}
        self._rendered: dict[int, bytes] = {}
        self._columns: dict[str, dict[int, Any]] = {}
        self._ordered: dict[str, tuple[int, tuple[list[str], list[int]]]] = {}
        self._children: dict[str, dict[int, list[int]]] = {}

    @property
    def name(self) -> str:
        """The entity's name."""
        return self.entity.name

    def holds(self, identifier: int) -> bool:
        """Whether the record exists now."""
        place = bisect.bisect_left(self.ids, identifier)
        return place < len(self.ids) and self.ids[place] == identifier

    @property
    def deleted_ids(self) -> Sequence[int]:
        """Those that were deleted, in the order of the ids."""
        return sorted(one for one in self._changed if not self.holds(one))

    def record(self, identifier: int) -> Record:
        """The record as it is now; one that was never touched is invented anew each time."""
        return self._changed.get(identifier) or self._inventor.record(identifier)

    def document(self, identifier: int) -> dict[str, Any]:
        """The record as a JSON object."""
        return self.record(identifier).document()

    def loaded(self, identifier: int) -> dict[str, Any]:
        """The same, read from its prepared form: a fifth of the cost."""
        document: dict[str, Any] = orjson.loads(self.rendered(identifier))
        return document

    def documents(self) -> Iterator[dict[str, Any]]:
        """Every record as it is now, in the order of the ids."""
        return (self.document(identifier) for identifier in self.ids)

    def rendered(self, identifier: int) -> bytes:
        """The record as an element of a JSON list; prepared once."""
        known = self._rendered.get(identifier)
        if known is None:
            # copied, because orjson leaves the result in a buffer of several times its size
            known = bytes(memoryview(orjson.dumps(self.document(identifier))))
            if len(self._rendered) < _RENDERED_KEPT:
                self._rendered[identifier] = known
        return known

    def asked_for(self, identifier: int, name: str) -> Any:
        """An attribute that is only rendered when it is named in `fields[...]`."""
        record = self.record(identifier)
        if name in record.attributes:
            return record.attributes[name]
        return self._inventor.attributes(number_of(identifier), (name,))[name]

    def column(self, name: str) -> Mapping[int, Any]:
        """The values of one attribute, or of `id`, by id; of `x_id` the id that relationship `x` names."""
        known = self._columns.get(name)
        if known is None:
            known = self._columns[name] = {identifier: self._value(identifier, name) for identifier in self.ids}
        return known

    def ordered(self, name: str) -> tuple[Sequence[str], Sequence[int]]:
        """An attribute's values in their order; sorted once, until something changes."""
        known = self._ordered.get(name)
        if known is None or known[0] != self.version:
            known = self._ordered[name] = (self.version, in_order(self.column(name), self.ids))
        return known[1]

    def children_of(self, relationship: str, owner: int) -> Sequence[int]:
        """The ids of the records whose relationship names `owner`, in the order of the ids."""
        known = self._children.get(relationship)
        if known is None:
            known = self._children[relationship] = {}
            for identifier in self.ids:
                for one in self.owners_of(identifier, relationship):
                    known.setdefault(one, []).append(identifier)
        return known.get(owner, ())

    def references(self, ids: Mapping[str, Named]) -> Mapping[str, Any]:
        """Relationships as a record has them, to these ids. Raises `KeyError` for one that the entity has not."""
        return {name: self._inventor.reference(name, one) for name, one in ids.items()}

    def create(
        self,
        attributes: Mapping[str, Any],
        identifier: int | None = None,
        related: Mapping[str, Any] | None = None,
    ) -> int:
        """A new record, created now; with the highest id if none is given. Raises `ValueError` for one that exists."""
        if identifier is None:
            identifier = record_id(number_of(self._highest) + 1)
        if self.holds(identifier):
            raise ValueError(f"{self.name} {identifier} exists already")
        record = self._inventor.record(identifier)
        now = time_text(self._clock())
        stamped = {name: now for name in ("created_at", "updated_at") if name in record.attributes}
        self._highest = max(self._highest, identifier)
        bisect.insort(self.ids, identifier)
        self._put(record, {**stamped, **attributes}, related or {})
        return identifier

    def edit(
        self,
        identifier: int,
        attributes: Mapping[str, Any],
        related: Mapping[str, Any] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Change attributes and relationships; `updated_at` becomes now unless it is given or the edit is `quiet`."""
        record = self.record(identifier)
        self._leave_owners(identifier)
        is_stamped = "updated_at" in record.attributes and not quiet
        stamped = {"updated_at": time_text(self._clock())} if is_stamped else {}
        self._put(record, {**stamped, **attributes}, related or {})

    def delete(self, identifier: int) -> None:
        """The record is gone, and everything behind it moves up one place."""
        self._leave_owners(identifier)
        self._changed[identifier] = self.record(identifier)
        self.ids.remove(identifier)
        self.version += 1

    def restore(self, identifier: int) -> None:
        """A deleted record is back, as it was. Raises `ValueError` for one that was not deleted."""
        if self.holds(identifier) or identifier not in self._changed:
            raise ValueError(f"{self.name} {identifier} was not deleted")
        bisect.insort(self.ids, identifier)
        self._put(self._changed[identifier], {}, {})

    def _put(self, record: Record, attributes: Mapping[str, Any], related: Mapping[str, Any]) -> None:
        relationships = {**record.relationships, **related}
        self._changed[record.id] = replace(
            record,
            path=self._inventor.path(relationships, number_of(record.id)) if related else record.path,
            attributes={**record.attributes, **attributes},
            relationships=relationships,
        )
        self._rendered.pop(record.id, None)
        for name, column in self._columns.items():
            column[record.id] = self._value(record.id, name)
        for relationship, children in self._children.items():
            for owner in self.owners_of(record.id, relationship):
                bisect.insort(children.setdefault(owner, []), record.id)
        self.version += 1

    def _leave_owners(self, identifier: int) -> None:
        for relationship, children in self._children.items():
            for owner in self.owners_of(identifier, relationship):
                children[owner].remove(identifier)

    def owners_of(self, identifier: int, relationship: str) -> Sequence[int]:
        """The ids that a relationship of a record names; of a kind of owner that records do not name, whose it is."""
        changed = self._changed.get(identifier)
        if changed is None or relationship not in changed.relationships:
            return self._inventor.related(relationship, number_of(identifier))
        return [int(one) for one in related_ids(changed.relationships.get(relationship))]

    def _value(self, identifier: int, name: str) -> Any:
        if name == "id":
            return str(identifier)
        changed = self._changed.get(identifier)
        if changed is None and name in self.entity.attributes:
            return self._inventor.maker(name)(number_of(identifier))
        record = changed or self._inventor.record(identifier)
        if name not in record.attributes and name.endswith("_id"):
            return next(iter(related_ids(record.relationships.get(name.removesuffix("_id")))), None)
        return record.attributes.get(name)
