"""Bad answers in place of good ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from pco_simulator.answering.answers import (
    HTML,
    OLDEST_VERSION,
    Answer,
    Origin,
    html_page,
    refusal,
    too_many,
    unauthorized,
)
from pco_simulator.rate_window import Verdict

Document = dict[str, Any]

_PAGES: Final[dict[str, tuple[str, Origin]]] = {
    "500": ("We're sorry, but something went wrong (500)", "product"),
    "502": ("502 Bad Gateway", "edge"),
    "503": ("503 Service Temporarily Unavailable", "edge"),
    "504": ("504 Gateway Time-out", "edge"),
    "html-403": ("ERROR: The request could not be satisfied", "edge"),
}
_REFUSALS: Final = {
    "400": ("Bad Request", "The request is not understood"),
    "402": ("Payment Required", "This feature is not part of your plan"),
    "403": ("Forbidden", "You do not have access to this resource"),
    "404": ("Not Found", "The resource you requested could not be found"),
    "422": ("Unprocessable Entity", "The request is not valid"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A bad answer to give.

    `retry_after` is what a 429 says, `hint` what a 401 says; `number` where a `capped-total` stops, to what a
    `rounded-total` is rounded down, what a `rate-count` says, and how many records a `short-page` or an `include-...`
    shows. `include` is the edge that is included, `record_id` a record of the answer, `name` what is left out or
    ignored.
    """

    kind: str
    include: str | None = None
    record_id: str | int | None = None
    retry_after: int = 1
    hint: str = "BABOON"
    number: int = 10_000
    name: str = ""


def bad_answer(rule: Rule, good: Answer, *, verdict: Verdict, offset: int) -> Answer:
    """The answer in place of `good`. Raises `KeyError` for an unknown kind.

    What changes a document leaves an answer alone that has none.
    """
    kind = rule.kind
    if kind in _PAGES:
        title, origin = _PAGES[kind]
        return Answer(status=int(kind[-3:]), content_type=HTML, body=html_page(title), origin=origin)
    if kind in _REFUSALS:
        return refusal(int(kind), *_REFUSALS[kind])
    if kind in _CHANGES:
        change = _CHANGES[kind]
        if good.status != 200:
            return good
        document = orjson.loads(good.body)
        change(document, offset, rule)
        return replace(good, body=orjson.dumps(document))
    return _RESPONSES[kind](good, verdict, rule)


def _with_object(document: Document, *_: Any) -> None:
    if isinstance(document["data"], list):
        document["data"] = (document["data"] or [{}])[0]


def _with_other_types(document: Document, *_: Any) -> None:
    for record in document["data"] if isinstance(document["data"], list) else [document["data"]]:
        record["type"] = "SomethingElse"


def _with_stuck_next(document: Document, offset: int, _: Rule) -> None:
    document["meta"]["next"] = {"offset": offset}
    document.get("links", {})["next"] = document.get("links", {}).get("self")


def _with_links_only(document: Document, *_: Any) -> None:
    document["meta"].pop("next", None)


def _without_total(document: Document, *_: Any) -> None:
    document["meta"].pop("total_count", None)


def _with_wrong_total(document: Document, *_: Any) -> None:
    document["meta"]["total_count"] = document["meta"].get("total_count", 0) // 2


def _without_next(document: Document, *_: Any) -> None:
    document["meta"].pop("next", None)
    document.get("links", {}).pop("next", None)


def _without_next_and_total(document: Document, *_: Any) -> None:
    _without_next(document)
    _without_total(document)


def _with_capped_total(document: Document, _: int, rule: Rule) -> None:
    _with_total(document, min(document["meta"].get("total_count", 0), rule.number))


def _with_rounded_total(document: Document, _: int, rule: Rule) -> None:
    _with_total(document, document["meta"].get("total_count", 0) // rule.number * rule.number)


def _with_total(document: Document, total: int) -> None:
    if "total_count" in document["meta"]:
        document["meta"]["total_count"] = total


def _with_nothing(document: Document, *_: Any) -> None:
    """A list of no records, as PCO shows it who may see none of them."""
    if isinstance(document["data"], list):
        _without_next(document)
        document["data"] = []
        document.pop("included", None)
        document["meta"] |= {"total_count": 0, "count": 0}


def _with_included(document: Document, *_: Any) -> None:
    document["included"] = [{"type": "SomethingElse", "id": "1", "attributes": {}}]


def _with_ids_out_of_order(document: Document, *_: Any) -> None:
    if isinstance(document["data"], list):
        document["data"].reverse()


def _without_attribute(document: Document, _: int, rule: Rule) -> None:
    for record in document["data"] if isinstance(document["data"], list) else [document["data"]]:
        record["attributes"].pop(rule.name, None)


def _not_offering(document: Document, _: int, rule: Rule) -> None:
    """The list does what it did, and does not say so."""
    meta = document["meta"]
    for name in ("can_query_by", "can_order_by", "can_include", "can_filter"):
        if name in meta:
            meta[name] = [one for one in meta[name] if one != rule.name]


_CHANGES: Final[dict[str, Callable[[Document, int, Rule], None]]] = {
    "object": _with_object,
    "wrong-type": _with_other_types,
    "stuck-next": _with_stuck_next,
    "links-only": _with_links_only,
    "no-total": _without_total,
    "wrong-total": _with_wrong_total,
    "capped-total": _with_capped_total,
    "rounded-total": _with_rounded_total,
    "empty-list": _with_nothing,
    "no-next": _without_next,
    "no-next-no-total": _without_next_and_total,
    "included": _with_included,
    "ids-unordered": _with_ids_out_of_order,
    "attribute-missing": _without_attribute,
    "not-offered": _not_offering,
}

_RESPONSES: Final[dict[str, Callable[[Answer, Verdict, Rule], Answer]]] = {
    "401": lambda good, verdict, rule: unauthorized(rule.hint),
    "429": lambda good, verdict, rule: too_many(verdict.limit + 18, verdict.limit, verdict.period, rule.retry_after),
    "204": lambda good, verdict, rule: Answer(status=204),
    "html": lambda good, verdict, rule: Answer(content_type=HTML, body=html_page("Maintenance")),
    "half-json": lambda good, verdict, rule: replace(good, body=good.body[: len(good.body) // 2]),
    "half-body": lambda good, verdict, rule: replace(good, delivery="cut"),
    "rate-count": lambda good, verdict, rule: replace(good, rate_count=rule.number),
    "older-version": lambda good, verdict, rule: replace(good, processed_as=OLDEST_VERSION),
    "no-date": lambda good, verdict, rule: replace(good, left_out=b"date"),
    "no-rate": lambda good, verdict, rule: replace(good, left_out=b"x-pco-api-request-rate-"),
    "empty": lambda good, verdict, rule: replace(good, body=b""),
    "reset": lambda good, verdict, rule: replace(good, status=0, delivery="reset"),
    "hang": lambda good, verdict, rule: replace(good, status=0, delivery="hang"),
}

KINDS: Final = (*_PAGES, *_REFUSALS, *_CHANGES, *_RESPONSES)
"""Every bad answer there is."""
