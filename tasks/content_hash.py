"""One hash of a record's content, the same for every shape of request that can show the record. Pure.

It covers the attributes, and the relationships that PCO always renders for this kind. What a request adds to a record
is left out: attributes that are rendered only on request, relationships that come with an `include`, and links. An
attribute that is absent and one that is null are the same, also while the catalogue does not know it. A relationship
that PCO always renders and that is left out is not the same as one that is null: it is not known, so it stays.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity
from pco_client.documents import Json, Resource
from pco_store.upsert_rules import HASH_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scope:
    on_request: frozenset[str]
    shown_by_includes: frozenset[str]


def content_hash(resource: Resource, entity: Entity) -> bytes:
    """The hash of what PCO holds of this record, `HASH_BYTES` long; it does not depend on how it was requested."""
    scope = _scope_of(entity)
    attributes = {
        name: value for name, value in resource.attributes.items() if name not in scope.on_request and value is not None
    }
    relationships = {
        name: shown
        for name, one in resource.relationships.items()
        if name not in scope.shown_by_includes and (shown := _without_links(one)) is not None
    }
    content: list[Any] = [attributes, relationships]
    if absent := left_out(resource, entity):
        content.append(sorted(absent))
    return hashlib.blake2b(_canonical(content), digest_size=HASH_BYTES).digest()


def left_out(resource: Resource, entity: Entity) -> frozenset[str]:
    """The relationships that PCO renders for this kind, and of which this record says nothing; links say nothing."""
    shown = (name for name, one in resource.relationships.items() if not isinstance(one, dict) or "data" in one)
    return columns_of(entity).rendered.difference(shown)


@lru_cache(maxsize=512)
def _scope_of(entity: Entity) -> _Scope:
    always = {name for name, one in entity.relationships.items() if one.is_always_rendered}
    return _Scope(
        on_request=frozenset(name for name, one in entity.attributes.items() if one.on_request),
        shown_by_includes=(entity.can_include | entity.relationships.keys()) - always,
    )


def _without_links(relationship: Json) -> Json:
    """What a relationship says of other records; None if it says nothing, or that there is none."""
    if not isinstance(relationship, dict):
        return relationship
    shown = {name: value for name, value in relationship.items() if name != "links" and value is not None}
    if shown.keys() == {"data"} and isinstance(shown["data"], list):
        return sorted(shown["data"], key=_identity) or None
    return shown or None


def _identity(reference: Json) -> tuple[str, str]:
    if isinstance(reference, Mapping):
        return str(reference.get("type")), str(reference.get("id"))
    return "", str(reference)


def _canonical(content: Any) -> bytes:
    try:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, and numbers beyond 64 bits
        return json.dumps(content, sort_keys=True, ensure_ascii=True, default=str).encode()
