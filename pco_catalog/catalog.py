"""The catalogue of PCO's resources, read from `catalog.json`.

The facts come from PCO's own OpenAPI and documentation graphs and from recorded traffic; `docs/catalog.md` says how
they were gathered. Entities are data: nothing in the project has a class, a switch or a method per entity.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any


class UnknownEntity(ValueError):  # noqa: N818 - it names what is wrong with the caller's word, not with us
    """No such entity in the catalogue. `suggestions` are close matches."""

    def __init__(self, name: str, suggestions: tuple[str, ...], available: int) -> None:
        meant = f"did you mean {', '.join(suggestions)}? " if suggestions else ""
        super().__init__(
            f"{name!r} is not in the catalogue; {meant}{available} entities are, written product.Resource "
            "such as people.Person"
        )
        self.name = name
        self.suggestions = suggestions
        self.available = available

    def __reduce__(self) -> tuple[type["UnknownEntity"], tuple[str, tuple[str, ...], int]]:
        return type(self), (self.name, self.suggestions, self.available)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """One attribute. `type` is PCO's word; `on_request` ones are rendered only when `fields[...]` names them.

    `values` are those that PCO documents, if it documents any; others have to be expected.
    """

    type: str
    nullable: bool
    on_request: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Relationship:
    """An edge to one record, or to `many`. The type that PCO renders may differ from `resource` (PrimaryCampus).

    One that is not `rendered` is known only from the path of the list: the parent that its records do not name. One
    that is `on_request` is documented, and in no recorded record: it is rendered only if `include` or `fields[...]`
    names it.
    """

    many: bool
    resource: str
    rendered: bool = True
    on_request: bool = False

    @property
    def is_always_rendered(self) -> bool:
        """Whether every record names its related records, however it was requested."""
        return self.rendered and not self.on_request


@dataclass(frozen=True, kw_only=True, slots=True)
class Sideload:
    """A kind of record that is read with each record of its `owner`, by an `include` that brings all of them.

    `include` names a relationship of the owner, or one of a record that is included itself (`refund.notes`). `path` is
    where PCO shows the same below one owner, whose id is the last one in it. The owner may be listed below parents
    itself: then their ids stand before its own.
    """

    owner: str
    entity: str
    include: str
    path: str

    @property
    def owner_column(self) -> str:
        """What the owner's id is called in the path, and in the rows of records that have one owner: donation_id."""
        return str(re.findall(r"{(\w+)}", self.path)[-1])

    @property
    def owner_path(self) -> str:
        """Where PCO shows one owner alone."""
        return self.path[: self.path.rindex("}") + 1]

    def is_below(self, list_path: str) -> bool:
        """Whether the owners in the list at this path are those that `path` means."""
        return self.owner_path == f"{list_path}/{{{self.owner_column}}}"

    def scope_of(self, list_scope: str, owner: str) -> str:
        """The ids in `path` of an owner that was listed below those in `list_scope` ('': at top level)."""
        return f"{list_scope}/{owner}" if list_scope else owner

    def is_in(self, distrusted: Set[tuple[str, str]]) -> bool:
        """Whether its include, or the one by which that comes, is among these, each named with its list."""
        return not distrusted.isdisjoint(((self.owner, self.include), (self.owner, self.include.rpartition(".")[0])))


@dataclass(frozen=True, kw_only=True, eq=False)
class Entity:
    """A kind of record that PCO has. `list_path` is None when it is listed only below a parent.

    `api_version` is the pinned date of its product. `single_paths` are where PCO shows one record of a kind that it
    lists nowhere; `sideload` is how it is read with its owner. `shared_ids` are, by path, the names in a path that
    lists the same record below many parents, as far as they are not the record's own. Entities are one object each, so
    they compare by identity.
    """

    name: str
    product: str
    resource: str
    api_version: str
    list_path: str | None
    list_paths: tuple[str, ...]
    single_paths: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute]
    relationships: Mapping[str, Relationship]
    can_query_by: frozenset[str]
    can_order_by: frozenset[str]
    range_query_by: frozenset[str]
    can_include: frozenset[str]
    filters: frozenset[str]
    filters_by_path: Mapping[str, frozenset[str]] = field(default_factory=dict)
    incremental: str | None
    shared_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sideload: Sideload | None = None

    @property
    def is_mirrored(self) -> bool:
        """Whether there is a way to read all of its records, so that there is a table for them."""
        return bool(self.list_paths) or self.sideload is not None

    def comes_with_owner(self, distrusted: Set[tuple[str, str]]) -> bool:
        """Whether its records are read with their owners: there is no other way, or the include is not distrusted."""
        return self.sideload is not None and not (self.list_paths and self.sideload.is_in(distrusted))

    @property
    def schema_name(self) -> str:
        """The Postgres schema of its product."""
        return self.product.replace("-", "_")

    @property
    def table_name(self) -> str:
        """The table it is mirrored to: singular, in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.resource).lower()

    def filters_at(self, path: str) -> frozenset[str]:
        """What `filter` takes at one of its lists, whose path has its parents' ids in it.

        `filters` are those of the list at top level. Of a list below a parent they are known only where the catalogue
        names them, or where there is no list at top level.
        """
        if path == self.list_path:
            return self.filters
        for template, names in self.filters_by_path.items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                return names
        return self.filters if self.list_path is None else frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalog:
    """All entities by name, and the dates of the API versions that each product is known to have, oldest first.

    `sideloads` are what is read with each owner, by the owner's name; what is included by another comes after it.
    """

    by_name: Mapping[str, Entity]
    versions: Mapping[str, tuple[str, ...]]
    sideloads: Mapping[str, tuple[Sideload, ...]] = field(default_factory=dict)

    def entity(self, name: str) -> Entity:
        """The entity called `name`, as `product.Resource`. Raises `UnknownEntity`."""
        found = self.by_name.get(name)
        if found is None:
            lowered = {known.lower(): known for known in self.by_name}
            close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
            raise UnknownEntity(name, tuple(lowered[match] for match in close), len(self.by_name))
        return found

    def brought_by(
        self, owner: str, distrusted: Set[tuple[str, str]] = frozenset(), *, path: str | None = None
    ) -> tuple[Sideload, ...]:
        """What is read with the list of this entity: the one at top level, or those at `path` below its parents."""
        where = path or self.by_name[owner].list_path
        return tuple(
            one
            for one in self.sideloads.get(owner, ())
            if where and one.is_below(where) and self.by_name[one.entity].comes_with_owner(distrusted)
        )

    def read_for(self, entity: Entity, distrusted: Set[tuple[str, str]] = frozenset()) -> Entity:
        """Whose lists are read to learn of an entity: its own, or those of the owners with which it comes."""
        if entity.sideload is not None and entity.comes_with_owner(distrusted):
            return self.by_name[entity.sideload.owner]
        return entity

    def entities(self, *, top_level_only: bool = False) -> tuple[Entity, ...]:
        """All entities that are mirrored, or only those listed at top level, by name."""
        return tuple(
            entity
            for _, entity in sorted(self.by_name.items())
            if entity.list_path is not None or (entity.is_mirrored and not top_level_only)
        )


@lru_cache(maxsize=1)
def load_catalog() -> Catalog:
    """The catalogue, read once per process."""
    return read_catalog(_read("catalog.json"), _read("shared_lists.json"), _read("sideloads.json")["complete"])


def read_catalog(
    described_products: Mapping[str, Any],
    shared_lists: Mapping[str, Sequence[str]] = MappingProxyType({}),
    complete_includes: Mapping[str, Mapping[str, Mapping[str, str]]] = MappingProxyType({}),
) -> Catalog:
    """The catalogue that files of this form describe."""
    shared = {path: frozenset(names) for path, names in shared_lists.items()}
    sideloads = {
        owner: tuple(Sideload(owner=owner, include=include, **told) for include, told in sorted(includes.items()))
        for owner, includes in complete_includes.items()
    }
    by_child = {one.entity: one for several in sideloads.values() for one in several}
    by_name = {}
    for product, described in described_products.items():
        for resource, facts in described["resources"].items():
            sideload = by_child.get(f"{product}.{resource}")
            entity = _entity(product, described["version"], resource, facts, shared, sideload)
            by_name[entity.name] = entity
    return Catalog(
        by_name=by_name,
        versions={product: tuple(one["versions"]) for product, one in described_products.items()},
        sideloads=sideloads,
    )


def _read(name: str) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(resources.files("pco_catalog").joinpath(name).read_text(encoding="utf-8"))
    return read


def _entity(
    product: str,
    version: str,
    resource: str,
    facts: Mapping[str, Any],
    shared: Mapping[str, frozenset[str]],
    sideload: Sideload | None,
) -> Entity:
    paths = tuple(facts["list_paths"])
    singles = tuple(facts.get("single_paths", ()))
    return Entity(
        name=f"{product}.{resource}",
        product=product,
        resource=resource,
        api_version=version,
        list_path=next((path for path in paths if "{" not in path), None),
        list_paths=paths,
        single_paths=singles,
        attributes={
            name: Attribute(
                type=one["type"],
                nullable=one.get("nullable", False),
                on_request=one.get("on_request", False),
                values=tuple(one.get("values", ())),
            )
            for name, one in facts["attributes"].items()
        },
        relationships={
            name: Relationship(
                many=one["type"] == "many",
                resource=one["resource"],
                rendered=one.get("rendered", True),
                on_request=one.get("on_request", False),
            )
            for name, one in facts["relationships"].items()
        },
        can_query_by=frozenset(facts["can_query_by"]),
        can_order_by=frozenset(facts["can_order_by"]),
        range_query_by=frozenset(facts["range_query_by"]),
        can_include=frozenset(facts["can_include"]),
        filters=frozenset(facts["filters"]),
        filters_by_path={path: frozenset(names) for path, names in facts.get("filters_by_path", {}).items()},
        incremental=facts["incremental"],
        shared_ids={path: shared[path] for path in (*paths, *singles) if path in shared},
        sideload=sideload,
    )
