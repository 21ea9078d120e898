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
from typing import Any, NamedTuple

import orjson

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity
from pco_client.documents import Json, Resource
from pco_store.mirror.upsert_rules import HASH_BYTES


class Content(NamedTuple):
    """What is hashed of a record, and what it leaves out.

    `is_plain` says that no text in its attributes has a NUL or a lone surrogate, and no number is beyond 64 bits.
    """

    hash: bytes
    absent: frozenset[str]
    is_plain: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scope:
    on_request: frozenset[str]
    shown_by_includes: frozenset[str]
    rendered: frozenset[str]


def content_hash(resource: Resource, entity: Entity) -> bytes:
    """The hash of what PCO holds of this record, `HASH_BYTES` long; it does not depend on how it was requested."""
    return content_of(resource, entity).hash


def content_of(resource: Resource, entity: Entity) -> Content:
    """Its hash, and the relationships that PCO renders for this kind, and of which this record says nothing."""
    scope = _scope_of(entity)
    attributes: Mapping[str, Json] = resource.attributes
    is_hashed_whole = attributes.keys().isdisjoint(scope.on_request)
    if is_hashed_whole:
        attributes = {name: value for name, value in attributes.items() if value is not None}
    else:
        attributes = {
            name: value for name, value in attributes.items() if value is not None and name not in scope.on_request
        }
    relationships, told = {}, []
    for name, one in resource.relationships.items():
        if name not in scope.shown_by_includes and (shown := _without_links(one)) is not None:
            relationships[name] = shown
        if not isinstance(one, dict) or "data" in one:
            told.append(name)
    absent = scope.rendered.difference(told)
    content: list[Any] = [attributes, relationships]
    if absent:
        content.append(sorted(absent))
    canonical, is_plain = _canonical(content)
    digest = hashlib.blake2b(canonical, digest_size=HASH_BYTES).digest()
    return Content(hash=digest, absent=absent, is_plain=is_plain and (is_hashed_whole or _is_plain(resource)))


@lru_cache(maxsize=512)
def _scope_of(entity: Entity) -> _Scope:
    always = {name for name, one in entity.relationships.items() if one.is_always_rendered}
    return _Scope(
        on_request=frozenset(name for name, one in entity.attributes.items() if one.on_request),
        shown_by_includes=(entity.can_include | entity.relationships.keys()) - always,
        rendered=columns_of(entity).rendered,
    )


def _without_links(relationship: Json) -> Json:
    """What a relationship says of other records; None if it says nothing, or that there is none."""
    if not isinstance(relationship, dict):
        return relationship
    data = relationship.get("data")
    if len(relationship) == 1 and isinstance(data, dict):
        return relationship
    shown = {name: value for name, value in relationship.items() if name != "links" and value is not None}
    if shown.keys() == {"data"} and isinstance(shown["data"], list):
        return sorted(shown["data"], key=_identity) or None
    return shown or None


def _identity(reference: Json) -> tuple[str, str]:
    if isinstance(reference, Mapping):
        return str(reference.get("type")), str(reference.get("id"))
    return "", str(reference)


def _canonical(content: Any) -> tuple[bytes, bool]:
    """As bytes to be hashed, and whether no value in it needs a closer look."""
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, and numbers beyond 64 bits
        return json.dumps(content, sort_keys=True, ensure_ascii=True, default=str).encode(), False
    return text, b"\\u0000" not in text


def _is_plain(resource: Resource) -> bool:
    return _canonical(resource.attributes)[1]
