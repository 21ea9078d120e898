"""The documents of good answers, shaped as recorded ones."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pco_simulator.answering.paging import PageWindow, page_link
from pco_simulator.contents.listing import ListFacts, Listing
from pco_simulator.contents.records import ORGANIZATION, PCO

Json = Mapping[str, Any]


def list_document(
    *, rows: Sequence[bytes], included: Sequence[bytes], window: PageWindow, facts: ListFacts, path: str, raw_query: str
) -> bytes:
    """A page of a list: links, data, included, meta."""
    links = {"self": page_link(path, raw_query, None)}
    meta: dict[str, Any] = {"total_count": window.total, "count": window.count}
    for name, offset in (("next", window.next_offset), ("prev", window.previous_offset)):
        if offset is not None:
            meta[name] = {"offset": offset}
            links[name] = page_link(path, raw_query, offset)
    can = {
        "can_order_by": facts.can_order_by,
        "can_query_by": facts.can_query_by,
        "can_include": facts.can_include,
        "can_filter": facts.can_filter,
        "parent": facts.parent,
    }
    meta.update({name: known for name, known in can.items() if known})
    return b'{"links":%b,"data":[%b]%b,"meta":%b}' % (
        orjson.dumps(links),
        b",".join(rows),
        _included(included),
        orjson.dumps(meta),
    )


def record_document(row: bytes, included: Sequence[bytes], facts: ListFacts) -> bytes:
    """A single record. It has `can_include` and `parent` only."""
    meta = {"can_include": facts.can_include} if facts.can_include else {}
    return b'{"data":%b%b,"meta":%b}' % (
        row,
        _included(included),
        orjson.dumps({**meta, "parent": facts.parent or ORGANIZATION}),
    )


def _included(included: Sequence[bytes]) -> bytes:
    """The member, with the comma before it; nothing where nothing is included, since People's version 2026-06-04."""
    return b',"included":[%b]' % b",".join(included) if included else b""


def organization_document(church: Mapping[str, str], product: str) -> bytes:
    """What the root of a product answers, of the church with a type and an id."""
    return orjson.dumps({"data": organization(church, product), "meta": {}})


def organization(church: Mapping[str, str], product: str) -> dict[str, Any]:
    """The church as a record of a product."""
    return {
        **church,
        "attributes": {"name": "Simulated Church", "country_code": "US", "date_format": 1, "time_zone": "Etc/UTC"},
        "links": {"self": f"{PCO}/{product}/v2"},
    }


def sparse(document: Json, listing: Listing, identifier: int, names: Sequence[str]) -> dict[str, Any]:
    """The document with the named attributes and relationships only, and with those shown on request."""
    attributes = {}
    for name in names:
        with contextlib.suppress(KeyError):
            attributes[name] = listing.asked_for(identifier, name)
    relationships = document.get("relationships", {})
    kept = {name: relationships[name] for name in names if name in relationships}
    whole = {key: value for key, value in document.items() if key != "relationships"}
    return {**whole, "attributes": attributes, **({"relationships": kept} if kept else {})}
