"""Which ancestors the path of a list tells of its records: those of their own, and those that many records share.

A record below `/groups/{group_id}/memberships` belongs to that group, and the group's id is a column of its row. A tag
below `/groups/{group_id}/tags` is a tag of many groups: each of them is a link (`sync.links`). Which ids of a path are
not the record's own is reviewed by hand, path by path, in `shared_lists.json`; those of all other paths are. Pure.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from pco_catalog.catalog import Entity


def ids_in(path: str) -> list[str]:
    """The names in braces, outermost first: ["group_id"]."""
    return re.findall(r"{(\w+)}", path)


def path_below(path: str, scope: str) -> str:
    """The path with the ids of `scope` (slashes between them, outermost first) in place of its names."""
    ids = iter(scope.split("/"))
    return re.sub(r"{\w+}", lambda _: next(ids), path)


def own_ids(entity: Entity, path: str) -> tuple[str, ...]:
    """The names in a path whose ids belong to each record listed there, so that its row has them as columns."""
    shared = entity.shared_ids.get(path, frozenset())
    return tuple(name for name in ids_in(path) if name not in shared)


def is_shared(entity: Entity, path: str) -> bool:
    """Whether the same record is listed below many parents by this path."""
    return path in entity.shared_ids


def own_ids_in(entity: Entity, path: str, scope: str) -> dict[str, str]:
    """What the list of one parent tells of its records: ids, by the names of whom they belong to: {"group": "12"}."""
    own = set(own_ids(entity, path))
    pairs = zip(ids_in(path), scope.split("/"), strict=True)
    return {name.removesuffix("_id"): one for name, one in pairs if name in own}


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Which columns of a kind not every way of reading knows.

    `told` ones are null where nobody has told them: ancestors that only a path names, relationships that PCO does not
    render, attributes and relationships that it renders on request. `pointers` are the columns of relationships that
    PCO always renders, by their names: a record that leaves one out says nothing of it. `rendered` are all
    relationships that PCO always renders.
    """

    ancestors: tuple[str, ...]
    told: tuple[str, ...]
    pointers: dict[str, str]
    rendered: frozenset[str]


@lru_cache(maxsize=512)
def columns_of(entity: Entity) -> Columns:
    """The columns of an entity that some ways of reading it do not know."""
    paths = dict.fromkeys((*entity.list_paths, *([entity.sideload.path] if entity.sideload else [])))
    ancestors = tuple(dict.fromkeys(name for path in paths for name in own_ids(entity, path)))
    to_one = {name: one for name, one in entity.relationships.items() if not one.many}
    pointers = {
        name: f"{name}_id"
        for name, one in to_one.items()
        if one.is_always_rendered and f"{name}_id" not in entity.attributes
    }
    hidden = (f"{name}_id" for name, one in to_one.items() if not one.is_always_rendered)
    known = {*pointers.values(), *(name for name, one in entity.attributes.items() if not one.on_request)}
    on_request = (name for name, one in entity.attributes.items() if one.on_request)
    told = dict.fromkeys(name for name in (*ancestors, *hidden, *on_request) if name not in known)
    rendered = frozenset(
        name for name, one in entity.relationships.items() if one.is_always_rendered and (one.many or name in pointers)
    )
    return Columns(ancestors=ancestors, told=tuple(told), pointers=pointers, rendered=rendered)
