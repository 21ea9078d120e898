"""Whose records came with a page: what was included, divided by kind and by owner. Pure.

PCO names the included records in the relationships of their owners, and sends them beside the page, each once. The two
halves can disagree for minutes after a change, one of them can be left out for a single owner, and a record can be
named by several. So a kind's records are those that either half shows; and an owner of which the page does not tell
everything is named, for its own list has to be read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pco_catalog.ancestors import own_ids, own_ids_in
from pco_catalog.catalog import Entity, Sideload
from pco_client.documents import Json

Key = tuple[str, str]
"""Type and id, as an included record has them."""


@dataclass(kw_only=True, slots=True)
class Sideloaded:
    """What a page shows of one kind that comes with it.

    `owners` are whose record it is, in the order of `records`: the ids in the sideload's path, with slashes between
    them, or None where nobody on the page names it. `untold` are the owners of which the page does not tell all. The
    page's own list is that of `list_scope`.
    """

    sideload: Sideload
    entity: Entity
    list_scope: str = ""
    records: list[Json] = field(default_factory=list)
    owners: list[str | None] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)

    def scope_of(self, owner_id: str) -> str:
        """A record of the page, as an owner of what comes with it."""
        return self.sideload.scope_of(self.list_scope, owner_id)

    def add(self, record: Json, owner: str | None) -> None:
        """A record, and whose it is."""
        self.records.append(record)
        self.owners.append(owner)

    @property
    def unnamed(self) -> dict[Key, int]:
        """The records that belong to somebody, whom nobody on the page names, with their places."""
        if self.sideload.owner_column not in own_ids(self.entity, self.sideload.path):
            return {}
        keys = enumerate(map(key_of, self.records))
        return {key: place for place, key in keys if key is not None and self.owners[place] is None}

    def parents(self) -> list[Mapping[str, str]]:
        """What an own path would tell of each record: ids, by the names of whom they belong to."""
        return [{} if owner is None else own_ids_in(self.entity, self.sideload.path, owner) for owner in self.owners]


def divide_included(
    owners: Sequence[Json],
    included: Sequence[Json],
    sideloads: Sequence[tuple[Sideload, Entity]],
    *,
    list_scope: str = "",
) -> list[Sideloaded]:
    """The included records of each kind. What comes by another include stands behind it in `sideloads`.

    `list_scope` are the ids of those below whom the owners are listed.
    """
    by_key = dict(_keyed(included))
    found = {
        sideload.include: Sideloaded(sideload=sideload, entity=entity, list_scope=list_scope)
        for sideload, entity in sideloads
    }
    named: set[Key] = set()
    for owner in owners:
        if (key := key_of(owner)) is not None:
            _take(owner, key[1], by_key, found, named)
    kinds = {one.entity.resource: one for one in found.values()}
    for key, record in by_key.items():
        if key not in named and key[0] in kinds:
            kinds[key[0]].add(record, None)
    return list(found.values())


def without_included(records: Sequence[Json], entity: Entity, includes: Sequence[str]) -> None:
    """Take out of the records what only these includes have put there, so that they are as in any other answer."""
    added = {
        one for one in includes if one not in entity.relationships or not entity.relationships[one].is_always_rendered
    }
    for record in records if added else ():
        relationships = record.get("relationships") if isinstance(record, dict) else None
        if isinstance(relationships, dict):
            for name in added & relationships.keys():
                del relationships[name]


def names_all(record: Json, names: Sequence[str]) -> bool:
    """Whether a record says to whom these relationships lead, or that they lead to nobody."""
    relationships = record.get("relationships") if isinstance(record, dict) else None
    return isinstance(relationships, dict) and all(
        isinstance(one := relationships.get(name), dict) and "data" in one for name in names
    )


def _take(
    owner: Json, owner_id: str, by_key: Mapping[Key, Json], found: Mapping[str, Sideloaded], named: set[Key]
) -> None:
    """What one owner names, kind by kind; what is included by included records is theirs, and so the owner's."""
    taken: dict[str, list[Json]] = {}
    for include, kind in found.items():
        outer, _, name = include.rpartition(".")
        holders = taken.get(outer, []) if outer else [owner]
        scope = kind.scope_of(owner_id)
        is_told = not outer or scope not in found[outer].untold
        taken[include] = []
        for holder in holders:
            keys = _named_by(holder, name)
            is_told = is_told and keys is not None
            for key in keys or ():
                if key in by_key:
                    named.add(key)
                    kind.add(by_key[key], scope)
                    taken[include].append(by_key[key])
                else:
                    is_told = False
        if not is_told:
            kind.untold.append(scope)


def _named_by(record: Json, name: str) -> list[Key] | None:
    """The records that a relationship names; None if the record does not say."""
    relationships = record.get("relationships")
    relationship = relationships.get(name) if isinstance(relationships, dict) else None
    if not isinstance(relationship, dict) or "data" not in relationship:
        return None
    data = relationship["data"]
    if data is None:
        return []
    keys = [key_of(one) for one in (data if isinstance(data, list) else [data])]
    return [key for key in keys if key is not None] if None not in keys else None


def _keyed(records: Sequence[Json]) -> Iterator[tuple[Key, Json]]:
    for record in records:
        if (key := key_of(record)) is not None:
            yield key, record


def key_of(record: Json) -> Key | None:
    """Type and id of a record, if it has them."""
    if not isinstance(record, dict):
        return None
    kind, identity = record.get("type"), record.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    return (kind, identity) if isinstance(kind, str) and isinstance(identity, str) and identity else None
