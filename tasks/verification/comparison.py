"""Compares records as Planning Center shows them with rows of the mirror, by content. Pure.

A row of this version holds the hash of its content. A row of an older version holds a hash by another rule, which
cannot be compared: then its values are.
"""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pco_catalog.catalog import Entity
from pco_store.mirror.upsert_rules import HASH_BYTES
from tasks.rows.transform import COLUMN_KINDS, RELATIONSHIPS, MisfitError, column_value

SKEW: Final = timedelta(minutes=5)
"""How far in the future a time of change may lie and still be one: two machines' clocks differ."""

DIFFERENCES: Final = ("unmirrored", "ghosts", "outdated")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A record as PCO shows it. `row` is what the sync would store."""

    id: str
    content_hash: bytes
    updated_at: datetime | None = None
    created_at: datetime | None = None
    row: Mapping[str, object] = field(default_factory=dict)


class Mirrored(Protocol):
    """A row as far as it is compared."""

    @property
    def updated_at(self) -> datetime | None:
        """PCO's time of the last change, where there is one."""
        ...

    @property
    def content_hash(self) -> bytes:
        """Of the content as PCO sent it."""
        ...

    @property
    def written_at(self) -> datetime:
        """When the request was sent that showed this content."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What is meant by "meanwhile": PCO changed it after the mirror was last complete (`as_of`) and not in the future
    (`now`), or the mirror wrote it after the comparison `began`."""

    as_of: datetime
    began: datetime
    now: datetime

    def is_newer(self, record: Shown) -> bool:
        """PCO created or changed it after the mirror was last known to be complete."""
        times = (record.updated_at, record.created_at)
        return any(at is not None and self.as_of < at <= self.now + SKEW for at in times)

    def is_written_since(self, row: Mirrored) -> bool:
        """A sync wrote the row after the comparison began, so an older answer of PCO says nothing against it."""
        return row.written_at >= self.began


@dataclass(kw_only=True, slots=True)
class Difference:
    """Ids of records that differ, and of those that were compared.

    unmirrored: PCO lists it, the mirror has no row. ghosts: a row that PCO does not list. outdated: a row with other
    content than PCO's. No differences are `newer` (changed meanwhile; `added` are those without a row) and
    `quarantined`. `same` have the same content.
    """

    unmirrored: set[str] = field(default_factory=set)
    ghosts: set[str] = field(default_factory=set)
    outdated: set[str] = field(default_factory=set)
    newer: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    same: set[str] = field(default_factory=set)

    def __ior__(self, other: "Difference") -> "Difference":
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))
        return self

    @property
    def is_none(self) -> bool:
        """Nothing differs."""
        return not self.ids

    @property
    def ids(self) -> set[str]:
        """What differs."""
        return self.unmirrored | self.ghosts | self.outdated

    def keep(self, ids: Set[str]) -> None:
        """Nothing but these differs."""
        for name in DIFFERENCES:
            getattr(self, name).intersection_update(ids)

    def excuse_changes(self) -> None:
        """Whatever is unmirrored or outdated was changed meanwhile, and is no difference."""
        self.newer |= self.unmirrored | self.outdated
        self.added |= self.unmirrored
        self.unmirrored, self.outdated = set(), set()


def compare(
    shown: Iterable[Shown],
    mirrored: Mapping[str, Mirrored],
    *,
    entity: Entity,
    moment: Moment,
    quarantined: frozenset[str] = frozenset(),
    values: Mapping[str, Mapping[str, Any]] | None = None,
    misplaced: Set[str] = frozenset(),
) -> Difference:
    """Compare a complete stretch of PCO's list with all live rows of the same stretch, by id and content.

    `values` are the columns of the rows that have a hash of an older version (`needs_values`). `misplaced` are rows
    that say of themselves that they stand in another list; they are not the same, whatever their content.
    """
    found = Difference()
    listed = {one.id: one for one in shown}
    for identity, record in listed.items():
        row = mirrored.get(identity)
        if row is not None and identity not in misplaced and is_same(record, row, entity, (values or {}).get(identity)):
            found.same.add(identity)
        elif row is None and identity in quarantined:
            found.quarantined.add(identity)
        elif moment.is_newer(record):
            found.newer.add(identity)
            if row is None:
                found.added.add(identity)
        elif row is None:
            found.unmirrored.add(identity)
        elif moment.is_written_since(row):
            found.newer.add(identity)
        else:
            found.outdated.add(identity)
    for identity in mirrored.keys() - listed.keys():
        (found.newer if moment.is_written_since(mirrored[identity]) else found.ghosts).add(identity)
    return found


def needs_values(mirrored: Mapping[str, Mirrored]) -> list[str]:
    """The rows whose hash is of an older version."""
    return [identity for identity, row in mirrored.items() if len(row.content_hash) != HASH_BYTES]


def is_same(shown: Shown, row: Mirrored, entity: Entity, values: Mapping[str, Any] | None) -> bool:
    """Whether the row holds what PCO shows. A row of an older version without `values` does not count as the same."""
    if "updated_at" in entity.attributes and row.updated_at != shown.updated_at:
        return False
    if len(row.content_hash) == HASH_BYTES:
        return row.content_hash == shown.content_hash
    return values is not None and _has_the_values(shown.row, values, entity)


def are_in_order(ids: Sequence[str]) -> bool:
    """Whether they are numbers that grow: only then the ends of a page say which rows belong between them."""
    places = [(len(one), one) for one in ids]
    return all(one.isascii() and one.isdecimal() for one in ids) and places == sorted(set(places))


def _has_the_values(row: Mapping[str, object], stored: Mapping[str, Any], entity: Entity) -> bool:
    """Whether the columns hold what this record says. What only other ways of reading tell is left alone."""
    extra, kept = json.loads(str(row["extra"])), dict(stored["extra"])
    for name, attribute in entity.attributes.items():
        if attribute.on_request:
            continue
        is_json = attribute.type not in COLUMN_KINDS
        shown = row[name] if row[name] is not None else _converted(entity, name, extra.get(name))
        if is_json and isinstance(shown, str):
            shown = json.loads(shown)
        held = stored[name] if stored[name] is not None else _converted(entity, name, kept.get(name))
        if is_json and stored[name] is None and isinstance(held, str):
            held = json.loads(held)
        if shown != held:
            return False
    for name, relationship in entity.relationships.items():
        column = f"{name}_id"
        if relationship.many or row[column] == stored[column]:
            continue
        if row[column] is not None or (relationship.rendered and name not in entity.can_include):
            return False
    return _unnamed(extra, entity) == _unnamed(kept, entity)


def _converted(entity: Entity, name: str, value: Any) -> object:
    """A value in `extra` as the column would hold it, or as it is."""
    try:
        return column_value(entity, name, value)
    except MisfitError:
        return value


def _unnamed(extra: Mapping[str, Any], entity: Entity) -> dict[str, Any]:
    """What has no column: attributes that the catalogue does not know, and relationships to many."""
    others = {name: value for name, value in extra.items() if name not in entity.attributes and name != RELATIONSHIPS}
    kept = extra.get(RELATIONSHIPS)
    if isinstance(kept, dict):
        shown = {name: _sorted(one) for name, one in kept.items() if name not in entity.can_include}
        others[RELATIONSHIPS] = {name: one for name, one in shown.items() if one not in ({"data": []}, {})}
    return {name: value for name, value in others.items() if value not in ({}, None)}


def _sorted(relationship: Any) -> Any:
    if isinstance(relationship, dict) and isinstance(relationship.get("data"), list):
        return {**relationship, "data": sorted(relationship["data"], key=lambda one: json.dumps(one, sort_keys=True))}
    return relationship
