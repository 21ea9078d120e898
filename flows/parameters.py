"""What a sync may be told, and the words in which a wrong value is refused. Checked before any work."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic.json_schema import WithJsonSchema

from pco_catalog.catalog import Entity, UnknownEntity, load_catalog
from pco_catalog.chains import Chain, chain_to
from pco_catalog.patterns import select_entities, where_shown
from pco_walks.window import Mode

ConflictPolicy = Literal["join", "reject", "restart"]

MOST_PARENTS: Final = 500
"""Parents of one child flow run; they are its parameters, which Prefect keeps and shows."""

_SCOPE = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,5}")
_ORG_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EPOCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}")


def check_org_id(value: str) -> str:
    """The value, if a church may be called so. Raises `ValueError`."""
    if _ORG_ID.fullmatch(value) is None:
        raise ValueError("org_id must be 1 to 63 lower-case letters, digits and dashes, such as 'grace'")
    return value


def _check_epoch(value: str) -> str:
    if _EPOCH.fullmatch(value) is None:
        raise ValueError("epoch must be 1 to 64 letters, digits and . _ : + -, such as '2026-11-24'")
    return value


def check_entity(value: str) -> str:
    """The value, if it can be mirrored. Raises `ValueError`."""
    listed_entity(value)
    return value


def listed_entity(name: str) -> Entity:
    """The catalogue's entity whose list at top level is read for this one: its own, or its owners'.

    Raises `ValueError` that names what may be meant.
    """
    entity = load_catalog().read_for(load_catalog().entity(check_mirrored_entity(name)))
    if entity.list_path is None:
        raise ValueError(
            f"{name} is not listed at top level; PCO shows it only below its parents: sync_children does it"
        )
    return entity


def listed_entities() -> list[str]:
    """Every entity that `sync_entity` can mirror."""
    catalog = load_catalog()
    return [one.name for one in catalog.entities() if catalog.read_for(one).list_path is not None]


def check_mirrored_entity(value: str) -> str:
    """The value, if there is a table for it. Raises `ValueError`."""
    entity = load_catalog().entity(value)
    if not entity.is_mirrored:
        raise ValueError(f"{value} is not mirrored: {where_shown(entity)}")
    return value


def comparable_entity(name: str, method: str) -> Entity:
    """The catalogue's entity, if `verify` can compare it by this method. Raises `ValueError`."""
    entity = load_catalog().entity(check_mirrored_entity(name))
    if entity.list_path is None and method == "count":
        raise ValueError(
            f"{name} cannot be counted: PCO lists it below its owners only, and a count of each list costs as much as "
            "its content; use sample or full"
        )
    return entity


def child_entity(name: str) -> Entity:
    """The catalogue's entity, if PCO lists it below a parent. Raises `ValueError` that names what may be meant."""
    entity = load_catalog().entity(check_mirrored_entity(name))
    if not any("{" in path for path in entity.list_paths):
        raise ValueError(f"{name} is not listed below any parent; use sync_entity for it")
    return entity


def child_entities() -> list[str]:
    """Every entity that `sync_children` can mirror."""
    return [entity.name for entity in load_catalog().entities() if any("{" in path for path in entity.list_paths)]


def child_chain(entity: str, below: Sequence[str] | None) -> Chain:
    """The parents that lead to an entity. Raises `ValueError` that names the possible ones."""
    return chain_to(load_catalog(), child_entity(entity), below)


def _check_child_entity(value: str) -> str:
    child_entity(value)
    return value


def _check_below(value: list[str]) -> list[str]:
    for name in value:
        load_catalog().entity(name)
    return value


def _check_scopes(value: list[str]) -> list[str]:
    wrong = next((scope for scope in value if _SCOPE.fullmatch(scope) is None), None)
    if wrong is not None or not value or len(value) > MOST_PARENTS:
        raise ValueError(
            f"parents must be 1 to {MOST_PARENTS} ids such as '123', with the ids of their own parents before them "
            "where the list needs those ('12/345')"
        )
    return list(dict.fromkeys(value))


def _check_patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    select_entities(load_catalog(), value, ())
    return value


OrgId = Annotated[
    str,
    AfterValidator(check_org_id),
    Field(description="Which church: the name of its credentials block, such as 'grace'"),
]
EntityName = Annotated[
    str,
    AfterValidator(check_entity),
    WithJsonSchema({"type": "string", "enum": listed_entities()}),
    Field(description="What to mirror, as product.Resource in PCO's spelling, such as 'people.Person'"),
]
Epoch = Annotated[
    str,
    AfterValidator(_check_epoch),
    Field(description="Which turn. Left out: an unfinished turn is continued, else a new one is opened"),
]

MirroredEntityName = Annotated[
    str,
    AfterValidator(check_mirrored_entity),
    WithJsonSchema({"type": "string", "enum": [entity.name for entity in load_catalog().entities()]}),
    Field(description="A kind of record that has a table, as product.Resource, such as 'people.Person'"),
]
ChildEntityName = Annotated[
    str,
    AfterValidator(_check_child_entity),
    WithJsonSchema({"type": "string", "enum": child_entities()}),
    Field(description="What to mirror below each parent, such as 'groups.Membership'"),
]
Below = Annotated[
    list[str],
    AfterValidator(_check_below),
    Field(description="The parents, outermost first, such as groups.Group, groups.Event. Left out: the shortest way"),
]
Scopes = Annotated[
    list[str],
    AfterValidator(_check_scopes),
    Field(description="The ids of the parents; with those of their own parents before them where needed: 12/345"),
]

NIGHTLY_REQUESTS: Final = 6000
"""20 minutes at PCO's limit."""

Budget = Annotated[
    int, Field(ge=0, le=1_000_000, description="Requests of a night, as far as lists below parents are concerned")
]
SpreadSeconds = Annotated[
    int, Field(ge=0, le=86_400, description="Over so long the starts of the churches are spread; 0: all of them now")
]
Patterns = Annotated[
    tuple[str, ...],
    AfterValidator(_check_patterns),
    Field(description="What to mirror, such as people.*, giving, or *.Person"),
]

__all__ = [
    "NIGHTLY_REQUESTS",
    "Below",
    "Budget",
    "ChildEntityName",
    "ConflictPolicy",
    "EntityName",
    "Epoch",
    "MirroredEntityName",
    "Mode",
    "OrgId",
    "Patterns",
    "Scopes",
    "SpreadSeconds",
    "UnknownEntity",
    "child_chain",
    "child_entities",
    "child_entity",
    "comparable_entity",
    "listed_entities",
    "listed_entity",
]
