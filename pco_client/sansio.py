"""Build a request, read a response: no socket, no clock. What PCO does differently from its documents is noted here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypedDict
from urllib.parse import quote

from pco_client.auth import Credential
from pco_client.documents import Json, Page, read_json
from pco_client.errors import (
    AnswerTooLarge,
    BadRequest,
    EdgeBlocked,
    Forbidden,
    NotFound,
    PcoError,
    PlanLacksFeature,
    RateLimited,
    ServerFault,
    TooMuchIncluded,
    Unauthorized,
    UndecodableAnswer,
    UnexpectedDocument,
    UnexpectedStatus,
)
from pco_client.rate_limit import read_rate

HINTS: Mapping[str, str] = {
    "BABOON": "the access token has expired",
    "CAPUCHIN": "the access was revoked",
    "PELICAN": "a scope is missing",
    "TRASH_PANDA": "the user has no access to this product",
    "FLAMINGO": "the user no longer exists",
    "LEMMING": "the organization no longer exists",
    "CHINCHILLA": "the client is invalid",
    "BLACKBIRD": "this is the wrong kind of credential",
}
"""What PCO's hint words in the detail of a 401 mean (OpenAPI documents of July 2026)."""

MOST_PER_PAGE: Final = 100
"""PCO gives no more at a time, whatever is asked for."""

GREATEST_LIST: Final = 100_000_000
"""No church has a list so long; a count or an offset beyond it says nothing."""

LARGE_ANSWER: Final = 2**19
"""Bytes beyond which a page should not be read beside other large ones; decoded, it takes ten times as much."""

LARGEST_ANSWER: Final = 4 * 2**20
"""Bytes of a page with includes: one that has more is not read to its end (`AnswerTooLarge`)."""

OLDEST_YEAR: Final = 2000
"""A `Date` before it is no clock's."""

_CODE: Final = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """One filter: `where[attribute]=value`, or a range with operator gt, gte, lt or lte (dates and times only)."""

    attribute: str
    operator: str | None
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """Which page of which list. PCO caps `per_page` at 100 without saying so."""

    path: str
    api_version: str
    offset: int = 0
    per_page: int = 100
    where: tuple[Where, ...] = ()
    filter: str | None = None
    order: str | None = None
    include: tuple[str, ...] = ()
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpResponse:
    """What came back; header names in lower case, the body decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def build_list_request(request: PageRequest, *, base_url: str, credential: Credential, user_agent: str) -> HttpRequest:
    """The HTTP request for a page."""
    pairs = [("per_page", str(request.per_page)), ("offset", str(request.offset))]
    for one in request.where:
        operator = f"[{one.operator}]" if one.operator else ""
        pairs.append((f"where[{one.attribute}]{operator}", one.value))
    if request.filter:
        pairs.append(("filter", request.filter))
    if request.order:
        pairs.append(("order", request.order))
    if request.include:
        pairs.append(("include", ",".join(request.include)))
    pairs.extend((f"fields[{kind}]", ",".join(names)) for kind, names in request.fields)
    query = "&".join(f"{quote(name, safe='[]')}={quote(value, safe=',')}" for name, value in pairs)
    return HttpRequest(
        method="GET",
        url=f"{base_url}{request.path}?{query}",
        headers=_headers(request.api_version, credential, user_agent),
    )


def build_document_request(
    path: str, *, api_version: str, base_url: str, credential: Credential, user_agent: str
) -> HttpRequest:
    """The HTTP request for a single record, or a product's organization at `/{product}/v2`."""
    return HttpRequest(method="GET", url=f"{base_url}{path}", headers=_headers(api_version, credential, user_agent))


def read_list(response: HttpResponse, *, request: PageRequest, expected_type: str) -> Page:
    """The page in a response. Raises the errors of `errors.py`."""
    context = _context(response, f"GET {request.path}")
    if request.include and response.status == 504:
        raise TooMuchIncluded("PCO failed to answer a page with its includes in time", **context)
    if request.include and len(response.body) > LARGEST_ANSWER:
        raise AnswerTooLarge("a page with its includes is too much", **context)
    document = _read_document(response, context)
    records = document.get("data")
    if not isinstance(records, list):
        raise UnexpectedDocument(f"`data` is {_kind(records)} where a list is due", **context)
    if records and all(isinstance(one, dict) and one.get("type") not in (None, expected_type) for one in records):
        raise UnexpectedDocument(f"every record is of another type than {expected_type}", **context)
    meta = document.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    next_offset = _next_offset(document, meta, context)
    total_count = _whole(meta.get("total_count"))
    if total_count is not None and not 0 <= total_count <= GREATEST_LIST:
        total_count = None
    if next_offset is None:
        next_offset = _unsaid_next_offset(request, len(records), total_count)
    if next_offset is not None and next_offset <= request.offset:
        raise UnexpectedDocument(f"the next offset, {next_offset}, does not grow beyond {request.offset}", **context)
    if next_offset is not None and next_offset > GREATEST_LIST:
        raise UnexpectedDocument(f"the next offset is beyond {GREATEST_LIST}, where no list goes on", **context)
    included = document.get("included")
    return Page(
        records=tuple(records),
        offset=request.offset,
        next_offset=next_offset,
        total_count=total_count,
        can_query_by=_names(meta.get("can_query_by")),
        can_order_by=_names(meta.get("can_order_by")),
        can_filter=_names(meta.get("can_filter")),
        can_include=_names(meta.get("can_include")),
        included=tuple(included) if isinstance(included, list) else (),
        rate=read_rate(response.headers),
        request_id=_request_id(response),
        processed_as_version=response.headers.get("x-pco-api-processed-as-version"),
        answered_at=_answered_at(response),
    )


def read_document(response: HttpResponse, *, path: str) -> Json:
    """A single-record document. Raises the errors of `errors.py`; an unset to-one edge is `NotFound`."""
    context = _context(response, f"GET {path}")
    document = _read_document(response, context)
    if not isinstance(document.get("data"), dict):
        raise UnexpectedDocument(f"`data` is {_kind(document.get('data'))} where an object is due", **context)
    return document


def refusal_hint(response: HttpResponse) -> str | None:
    """PCO's word in a 401 for what is wrong with the credential (`HINTS`)."""
    error = _first_error(response.body)
    words = str(error.get("detail") or error.get("title"))
    return next((word for word in HINTS if word in words), None)


def _headers(api_version: str, credential: Credential, user_agent: str) -> dict[str, str]:
    """The version is always sent: the one stored for a token was not honoured in places (#1336)."""
    return {
        "Authorization": credential.authorization(),
        "User-Agent": user_agent,
        "X-PCO-API-Version": api_version,
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
    }


class _Context(TypedDict):
    where: str
    status: int
    request_id: str | None


def _context(response: HttpResponse, where: str) -> _Context:
    return _Context(where=where, status=response.status, request_id=_request_id(response))


def _read_document(response: HttpResponse, context: _Context) -> dict[str, Any]:
    if response.status != 200:
        raise _error_of(response, context)
    try:
        document = read_json(response.body)
    except (ValueError, RecursionError):
        kind = "an HTML page" if _is_html(response) else "no JSON document"
        raise UndecodableAnswer(f"the body is {kind} ({len(response.body)} bytes)", **context) from None
    if not isinstance(document, dict):
        raise UnexpectedDocument(f"the body is {_kind(document)} where a document is due", **context)
    return document


def _error_of(response: HttpResponse, context: _Context) -> PcoError:
    """By the status, and PCO's code such as `unsupported_version`. Nobody promises what its details quote."""
    status = response.status
    code = _first_error(response.body).get("code")
    told = f": {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""
    if status == 429:
        retry_after = read_rate(response.headers).retry_after_seconds or 1.0
        return RateLimited("the rate limit is exceeded", retry_after_seconds=retry_after, **context)
    if status in (204, 206):
        return UndecodableAnswer("an empty answer where a document is due", **context)
    if status == 401:
        hint = refusal_hint(response)
        meaning = f" ({hint}: {HINTS[hint]})" if hint else ""
        return Unauthorized(f"PCO does not accept the credential{told}{meaning}", hint=hint, **context)
    if status == 403 and _is_html(response):
        return EdgeBlocked("the edge answered an HTML page instead of PCO", **context)
    if status in (402, 403, 404):
        kinds: dict[int, type[PcoError]] = {402: PlanLacksFeature, 403: Forbidden, 404: NotFound}
        meanings = {402: "not part of the church's plan", 403: "no permission", 404: "not found"}
        return kinds[status](f"{meanings[status]}{told}", **context)
    if status in (400, 405, 409, 422):
        return BadRequest(f"PCO finds the request wrong{told}", **context)
    if status >= 500 or status == 408:
        return ServerFault("PCO failed", **context)
    return UnexpectedStatus(f"an unexpected status{told}", **context)


def _first_error(body: bytes) -> Mapping[str, Json]:
    """`errors[0]`; empty for a body that is not an API error."""
    try:
        document = read_json(body)
    except (ValueError, RecursionError):
        return {}
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return first if isinstance(first, dict) else {}


def _next_offset(document: Mapping[str, Json], meta: Mapping[str, Json], context: _Context) -> int | None:
    """`meta.next.offset`, or the offset in `links.next` where only that is sent (recordings of 2019).

    A next page whose offset cannot be read is an error: taken for the end, it would cut the list short unnoticed.
    """
    following = meta.get("next")
    offset = following.get("offset") if isinstance(following, dict) else None
    if offset is None:
        links = document.get("links")
        link = links.get("next") if isinstance(links, dict) else None
        if link is None:
            return None
        named = re.search(r"[?&]offset=(\d{1,9})(?!\d)", link) if isinstance(link, str) else None
        offset = int(named[1]) if named else link
    if _whole(offset) is None:
        raise UnexpectedDocument("there is a next page, but its offset is no number", **context)
    return int(offset)


def _unsaid_next_offset(request: PageRequest, rows: int, total_count: int | None) -> int | None:
    """Where to go on after a full page that names no next one, unless its count says that it was the last.

    Version-locked apps lost `links.next` and `total_count` on groups (#1386); an empty page more proves the end.
    """
    end = request.offset + rows
    is_full = rows >= min(request.per_page, MOST_PER_PAGE) > 0
    return end if is_full and (total_count is None or total_count > end) else None


def _answered_at(response: HttpResponse) -> datetime | None:
    try:
        answered = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return None
    if answered.year < OLDEST_YEAR:
        return None
    return answered if answered.tzinfo else answered.replace(tzinfo=UTC)


def _is_html(response: HttpResponse) -> bool:
    return "html" in response.headers.get("content-type", "") or response.body.lstrip()[:1] == b"<"


def _request_id(response: HttpResponse) -> str | None:
    return response.headers.get("x-request-id")


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: Json) -> frozenset[str] | None:
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else None


def _kind(value: Json) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number or a boolean")
