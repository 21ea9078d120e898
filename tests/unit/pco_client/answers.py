"""Answers of PCO, made up: the shapes are the recorded ones, the values are invented."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pco_client.sansio import HttpResponse, PageRequest

PEOPLE = PageRequest(path="/people/v2/people", api_version="2025-11-10")
"""The first page of a church's people."""

RATE = {
    "x-pco-api-request-rate-limit": "100",
    "x-pco-api-request-rate-period": "20",
    "x-pco-api-request-rate-count": "9",
}

JSON_API = {"content-type": "application/vnd.api+json; charset=utf-8", "x-request-id": "req-1", **RATE}
HTML = {"content-type": "text/html; charset=utf-8", "x-request-id": "req-1"}


def person(identity: str, **attributes: object) -> dict[str, Any]:
    """One record of a list of people."""
    return {"type": "Person", "id": identity, "attributes": attributes, "relationships": {}, "links": {}}


def list_document(records: Sequence[object], **meta: object) -> dict[str, Any]:
    """The document of a list; `meta` is added to PCO's."""
    return {"links": {}, "data": list(records), "included": [], "meta": {"count": len(records), **meta}}


def answer(status: int = 200, document: object = None, *, headers: Mapping[str, str] = JSON_API) -> HttpResponse:
    """A response with a JSON body."""
    return HttpResponse(status=status, headers=headers, body=json.dumps(document).encode())


def answer_bytes(status: int, body: bytes, *, headers: Mapping[str, str] = JSON_API) -> HttpResponse:
    """A response with any body."""
    return HttpResponse(status=status, headers=headers, body=body)


def refusal(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """An API error in PCO's shape."""
    document = {"errors": [{"status": str(status), "title": "Refused", "detail": detail}]}
    return answer(
        status, document, headers={"content-type": "application/json", "x-request-id": "req-1"} | dict(headers or {})
    )
