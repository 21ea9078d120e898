"""An answer before it is sent, and PCO's ways to say no."""

from dataclasses import dataclass
from typing import Final, Literal

import orjson

API_JSON: Final = b"application/vnd.api+json; charset=utf-8"
JSON: Final = b"application/json; charset=utf-8"
HTML: Final = b"text/html"

OLDEST_VERSION: Final = b"2018-08-01"
"""What PCO processes a request as that names no version."""

Origin = Literal["product", "gateway", "edge"]
"""Who answers: a product's server, the gateway before it, or the edge before both, which knows of no rate limit."""

Delivery = Literal["whole", "cut", "reset", "hang"]
"""`cut`: half of the body, then the connection ends; `reset`: it ends before anything is sent; `hang`: silence."""

Header = tuple[bytes, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer, without the headers that every answer of its origin has.

    `processed_as`: the API version that it claims; left out, the one that was asked for. `rate_count`: the number of
    requests that it claims; left out, the true one. `left_out`: headers that begin so are not sent.
    """

    status: int = 200
    content_type: bytes = API_JSON
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    origin: Origin = "product"
    delivery: Delivery = "whole"
    processed_as: bytes | None = None
    rate_count: int | None = None
    left_out: bytes | None = None


def html_page(title: str) -> bytes:
    """A page that is not JSON."""
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()


def refusal(status: int, title: str, detail: str, *, code: str | None = None, origin: Origin = "product") -> Answer:
    """An error in PCO's shape: `{"errors": [...]}`."""
    error = {"status": str(status), "title": title, "detail": detail, **({"code": code} if code else {})}
    return Answer(status=status, content_type=JSON, body=orjson.dumps({"errors": [error]}), origin=origin)


def unauthorized(hint: str) -> Answer:
    """The credential is not accepted; `hint` is one of PCO's words for the reason."""
    return refusal(401, "Unauthorized", f"You did not provide valid credentials. {hint}".rstrip())


def forbidden() -> Answer:
    """The credential may not read this product."""
    return refusal(403, "Forbidden", "You do not have access to this resource")


def blocked() -> Answer:
    """The edge lets nobody through who does not say who he is."""
    page = html_page("ERROR: The request could not be satisfied")
    return Answer(status=403, content_type=HTML, body=page, origin="edge")


def unknown_record() -> Answer:
    """A product's server has no such record, or does not show it to this user."""
    return refusal(404, "Not Found", "The resource you requested could not be found")


def unknown_path() -> Answer:
    """The gateway knows no such path."""
    return refusal(404, "Not Found", "The resource you requested could not be found", origin="gateway")


def too_many(count: int, limit: int, period_seconds: int, retry_after: int) -> Answer:
    """Over the limit. This error alone has `code` where others have `status`."""
    told = f"Rate limit exceeded: {count} of {limit} requests per {period_seconds} seconds"
    error = {"code": "429", "title": "Too Many Requests", "detail": told}
    headers = ((b"retry-after", b"%d" % retry_after),)
    body = orjson.dumps({"errors": [error]})
    return Answer(status=429, content_type=JSON, body=body, headers=headers, origin="gateway")
