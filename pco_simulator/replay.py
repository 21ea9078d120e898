"""Recorded answers served again: the lists re-paged, every record verbatim, everything else as it was."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from pco_simulator.faults import Answer
from pco_simulator.query import DEFAULT_PER_PAGE, MOST_PER_PAGE

UNTOUCHED = ("offset", "per_page")


class Recording:
    """Captures (`method`, `url`, `status`, `headers`, `body`), by path.

    The pages of one list, recorded with any page size, become one list that is paged as asked. Conditions on it are
    ignored, as PCO ignores those it does not know; a capture whose query has more than paging is served as it is.
    """

    def __init__(self, captures: Sequence[Mapping[str, Any]]) -> None:
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._metas: dict[str, dict[str, Any]] = {}
        self._exact: dict[tuple[str, tuple[tuple[str, str], ...]], Mapping[str, Any]] = {}
        for capture in captures:
            parts = urlsplit(capture["url"])
            query = parse_qsl(parts.query)
            body = capture["body"]
            if isinstance(body, dict) and isinstance(body.get("data"), list) and _is_paging_only(query):
                self._add_page(parts.path, body)
            else:
                self._exact[parts.path, _key(query)] = capture

    def answer(self, path: str, raw_query: str) -> Answer | None:
        """The answer to a GET, if there is one in the recording."""
        query = parse_qsl(raw_query)
        capture = self._exact.get((path, _key(query)))
        if capture is not None:
            body = capture["body"]
            content = body.encode() if isinstance(body, str) else orjson.dumps(body) if body is not None else b""
            kind = str(capture["headers"].get("content-type", "application/json")).encode()
            return Answer(status=int(capture["status"]), content_type=kind, body=content)
        if path not in self._lists:
            return None
        asked = dict(query)
        offset = int(asked.get("offset", 0))
        per_page = min(int(asked.get("per_page", DEFAULT_PER_PAGE)), MOST_PER_PAGE)
        records = self._lists[path]
        shown = records[offset : offset + per_page]
        meta = {**self._metas[path], "total_count": len(records), "count": len(shown)}
        if offset + per_page < len(records):
            meta["next"] = {"offset": offset + per_page}
        document = {"links": {}, "data": shown, "included": [], "meta": meta}
        return Answer(status=200, content_type=b"application/vnd.api+json; charset=utf-8", body=orjson.dumps(document))

    def _add_page(self, path: str, body: Mapping[str, Any]) -> None:
        records = self._lists.setdefault(path, [])
        known = {record.get("id") for record in records}
        records.extend(record for record in body["data"] if record.get("id") not in known)
        self._metas[path] = {name: value for name, value in body["meta"].items() if name not in {"next", "prev"}}


def _is_paging_only(query: Sequence[tuple[str, str]]) -> bool:
    return all(name in UNTOUCHED for name, _ in query)


def _key(query: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(query))
