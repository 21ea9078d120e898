"""What a sync may be told, and the words in which a wrong value is refused. Checked before any work."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.json_schema import WithJsonSchema

from pco_catalog.catalog import Entity, UnknownEntity, load_catalog
from tasks.window import Mode

ConflictPolicy = Literal["join", "reject", "restart"]

_ORG_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EPOCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}")


def check_org_id(value: str) -> str:
    if _ORG_ID.fullmatch(value) is None:
        raise ValueError("org_id must be 1 to 63 lower-case letters, digits and dashes, such as 'grace'")
    return value


def _check_epoch(value: str) -> str:
    if _EPOCH.fullmatch(value) is None:
        raise ValueError("epoch must be 1 to 64 letters, digits and . _ : + -, such as '2026-11-24'")
    return value


def check_entity(value: str) -> str:
    listed_entity(value)
    return value


def listed_entity(name: str) -> Entity:
    """The catalogue's entity, if PCO lists it at top level. Raises `ValueError` that names what may be meant."""
    entity = load_catalog().entity(name)
    if entity.list_path is None:
        raise ValueError(f"{name} is not listed at top level; PCO shows it only below its parent")
    return entity


def listed_entities() -> list[str]:
    """Every entity that `sync_entity` can mirror."""
    return [entity.name for entity in load_catalog().entities(top_level_only=True)]


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

__all__ = [
    "ConflictPolicy",
    "EntityName",
    "Epoch",
    "Mode",
    "OrgId",
    "UnknownEntity",
    "listed_entities",
    "listed_entity",
]
