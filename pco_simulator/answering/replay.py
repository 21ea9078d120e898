"""Recorded answers served again: the lists re-paged, every record verbatim, everything else as it was."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pco_catalog.catalog import Entity, load_catalog
from pco_simulator.answering.answers import JSON, Answer
from pco_simulator.contents.listing import ListFacts, in_order
from pco_simulator.contents.places import FixedPlace, ListPlace, NoRecord, Place, RecordPlace

PAGING: Final = frozenset({"offset", "per_page"})

Capture = Mapping[str, Any]
"""`method`, `url`, `status`, `headers`, `body` (an object, text, or null)."""


class RecordedList:
    """The records of one list in recorded order, numbered by their ids; by their places if ids are not what is due."""

    version = 0

    def __init__(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        self._name = name
        numbers = [int(one["id"]) for one in records if str(one.get("id", "")).isdecimal()]
        is_numbered = len(set(numbers)) == len(records)
        self._records = dict(zip(numbers if is_numbered else range(len(records)), records, strict=True))
        self.ids = list(self._records)

    @property
    def name(self) -> str:
        """The entity's name, or the path if the catalogue has none for it."""
        return self._name

    def document(self, identifier: int) -> Mapping[str, Any]:
        """The record, verbatim."""
        return self._records[identifier]

    def rendered(self, identifier: int) -> bytes:
        """The record in ASCII: whatever was recorded can be written so, lone surrogates and huge numbers, too."""
        return json.dumps(self._records[identifier], separators=(",", ":")).encode()

    def column(self, name: str) -> Mapping[int, Any]:
        """The values of one attribute, or of `id`."""
        if name == "id":
            return {identifier: str(one.get("id")) for identifier, one in self._records.items()}
        return {identifier: one.get("attributes", {}).get(name) for identifier, one in self._records.items()}

    def ordered(self, name: str) -> tuple[Sequence[str], Sequence[int]]:
        """An attribute's values in their order."""
        return in_order(self.column(name), self.ids)

    def asked_for(self, identifier: int, name: str) -> Any:
        """An attribute that was recorded. Raises `KeyError`."""
        return self._records[identifier]["attributes"][name]


class Recording:
    """Captures by path.

    The pages of one list, recorded with any page size, become one list that is paged, ordered and filtered as asked.
    A capture whose query has more than paging is served as it is to that query.
    """

    def __init__(self, captures: Sequence[Capture]) -> None:
        self._exact: dict[tuple[str, tuple[tuple[str, str], ...]], Answer] = {}
        self._lists: dict[str, ListPlace] = {}
        pages: dict[str, list[tuple[int, Capture]]] = {}
        for capture in captures:
            parts = urlsplit(capture["url"])
            query = parse_qsl(parts.query)
            body = capture["body"]
            is_list = isinstance(body, dict) and isinstance(body.get("data"), list)
            if is_list and capture["status"] == 200 and all(name in PAGING for name, _ in query):
                offset = int(dict(query).get("offset", 0))
                pages.setdefault(parts.path, []).append((offset, body))
            else:
                self._exact[parts.path, _key(query)] = _answer(capture)
        self._lists = {path: _list_place(path, found) for path, found in pages.items()}
        self.products = frozenset(path.split("/")[1] for path in self._lists)

    def locate(self, path: str, raw_query: str) -> Place | None:
        """What is at a path; None for one of which nothing was recorded."""
        fixed = self._exact.get((path, _key(parse_qsl(raw_query))))
        if fixed is not None:
            return FixedPlace(answer=fixed)
        if path in self._lists:
            return self._lists[path]
        parent, _, last = path.rpartition("/")
        place = self._lists.get(parent)
        if place is None:
            return None
        if not (last.isascii() and last.isdecimal() and int(last) in place.listing.ids):
            return NoRecord()
        return RecordPlace(listing=place.listing, facts=place.facts, id=int(last), type=place.type)

    def state(self, name: str) -> list[Mapping[str, Any]]:
        """Every recorded record of an entity, in recorded order."""
        found = next((place.listing for place in self._lists.values() if place.listing.name == name), None)
        return [found.document(one) for one in found.ids] if found else []


def read_captures(text: str) -> Sequence[Capture]:
    """The captures in a file. Raises `ValueError` for what is no list of them."""
    captures = json.loads(text)
    needed = {"url", "status", "headers", "body"}
    if not isinstance(captures, list) or not all(isinstance(one, dict) and needed <= one.keys() for one in captures):
        raise ValueError("a recording is a JSON list of objects with method, url, status, headers and body")
    return captures


def _list_place(path: str, pages: Sequence[tuple[int, Capture]]) -> ListPlace:
    by_offset = {offset + place: record for offset, body in pages for place, record in enumerate(body["data"])}
    records = [by_offset[place] for place in sorted(by_offset)]
    meta = pages[0][1].get("meta", {})
    entity = _entity_at(path)
    known = ListFacts.of(entity, path, {}) if entity else ListFacts()
    facts = ListFacts(
        can_order_by=tuple(meta.get("can_order_by", ())),
        can_query_by=tuple(meta.get("can_query_by", ())),
        can_include=tuple(meta.get("can_include", ())),
        can_filter=tuple(meta.get("can_filter", ())),
        ranges=known.ranges,
        dates=known.dates,
        parent=meta.get("parent", {}),
    )
    listing = RecordedList(entity.name if entity else path, records)
    return ListPlace(listing=listing, facts=facts, type=str(records[0].get("type", "")) if records else "")


def _entity_at(path: str) -> Entity | None:
    return next((one for one in load_catalog().entities() if path in one.list_paths), None)


def _answer(capture: Capture) -> Answer:
    body = capture["body"]
    content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = str(capture["headers"].get("content-type", "")).encode() or JSON
    status = int(capture["status"])
    is_gateway = not str(capture["headers"].get("x-pco-api-request-rate-period", "0")).isdecimal()
    return Answer(status=status, content_type=kind, body=content, origin="gateway" if is_gateway else "product")


def _key(query: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(query))
