"""The documents of answers, shaped as recorded ones."""

from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from pco_simulator.query import ListQuery
from pco_simulator.records import PCO, Record
from pco_simulator.world import Collection

ORGANIZATION: Final = {"id": "263468", "type": "Organization"}


def list_document(collection: Collection, ids: list[int], query: ListQuery, path: str, raw_query: str) -> bytes:
    """A page of a list: links, data, included, meta."""
    shown = ids[query.offset : query.offset + query.per_page]
    entity = collection.entity
    next_offset = query.offset + query.per_page
    links = {"self": _link(path, raw_query, query.offset)}
    meta: dict[str, Any] = {"total_count": len(ids), "count": len(shown)}
    if query.offset > 0:
        previous = max(query.offset - query.per_page, 0)
        meta["prev"] = {"offset": previous}
        links["prev"] = _link(path, raw_query, previous)
    if next_offset < len(ids):
        meta["next"] = {"offset": next_offset}
        links["next"] = _link(path, raw_query, next_offset)
    for name, known in (
        ("can_order_by", entity.can_order_by),
        ("can_query_by", entity.can_query_by),
        ("can_include", entity.can_include),
        ("can_filter", entity.filters),
    ):
        if known:
            meta[name] = sorted(known)
    meta["parent"] = ORGANIZATION
    data = b",".join([collection.rendered(one) for one in shown])
    return b'{"links":%b,"data":[%b],"included":[],"meta":%b}' % (orjson.dumps(links), data, orjson.dumps(meta))


def record_document(record: Record) -> bytes:
    """A single record."""
    return orjson.dumps({"data": record.document(), "included": [], "meta": {"parent": ORGANIZATION}})


def organization_document(product: str) -> bytes:
    """What the root of a product answers."""
    data = {
        "type": "Organization",
        "id": ORGANIZATION["id"],
        "attributes": {"name": "Simulated Church", "country_code": "US", "date_format": 1},
        "links": {"self": f"{PCO}/{product}/v2"},
    }
    return orjson.dumps({"data": data, "included": [], "meta": {}})


def error_document(status: int, title: str, detail: str) -> bytes:
    """PCO's way to say no; a 429 has `code` instead of `status`."""
    key = "code" if status == 429 else "status"
    return orjson.dumps({"errors": [{key: str(status), "title": title, "detail": detail}]})


def _link(path: str, raw_query: str, offset: int) -> str:
    kept = [(key, value) for key, value in parse_qsl(raw_query, keep_blank_values=True) if key != "offset"]
    pairs = sorted([*kept, ("offset", str(offset))])
    return f"{PCO}{path}?" + "&".join(f"{key}={value}" for key, value in pairs)
