"""JSON:API documents as PCO writes them: pages and resources. Pure."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeAlias

import orjson

from pco_client.rate_limit import RateReading

Json: TypeAlias = Any
"""Any JSON value: None, bool, int (exact), float, Decimal (beyond float), str, list, dict."""


class MalformedRecord(ValueError):  # noqa: N818 - named after what was observed
    """An item of `data` that is not a resource. `reason` tells what is wrong, without its values."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field

    def __reduce__(self) -> tuple[type["MalformedRecord"], tuple[str, str]]:
        return type(self), (self.reason, self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One JSON:API object. Ids are text, also where PCO sends numbers (#1043)."""

    type: str
    id: str
    attributes: Mapping[str, Json]
    relationships: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One answer of a list. `records` and `included` are as received: one that is malformed does not spoil the others.

    `can_query_by`, `can_order_by`, `can_filter` and `can_include` belong to the path called, None where PCO sends none.
    `answered_at` is PCO's own time, to the second.
    """

    records: tuple[Json, ...]
    offset: int
    next_offset: int | None
    total_count: int | None
    can_query_by: frozenset[str] | None
    can_order_by: frozenset[str] | None
    rate: RateReading
    request_id: str | None
    processed_as_version: str | None
    answered_at: datetime | None = None
    can_filter: frozenset[str] | None = None
    can_include: frozenset[str] | None = None
    included: tuple[Json, ...] = ()


def read_resource(record: Json, *, expected_type: str) -> Resource:
    """One item of `data`. Raises `MalformedRecord`."""
    if not isinstance(record, dict):
        raise MalformedRecord("the record is not an object", "data")
    kind = record.get("type")
    if kind != expected_type:
        raise MalformedRecord(f"the record is of another type than {expected_type}", "type")
    identity = record.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not identity:
        raise MalformedRecord("the record has no id", "id")
    attributes = record.get("attributes", {})
    if not isinstance(attributes, dict):
        raise MalformedRecord("the record's attributes are not an object", "attributes")
    relationships = record.get("relationships", {})
    if not isinstance(relationships, dict):
        raise MalformedRecord("the record's relationships are not an object", "relationships")
    return Resource(type=expected_type, id=identity, attributes=attributes, relationships=relationships)


def read_json(body: bytes) -> Json:
    """JSON with numbers kept: integers exact, and what a float cannot hold as Decimal. Raises ValueError.

    orjson is faster and reads the same, but for numbers beyond 64 bits, and for lone surrogates, which it refuses.
    """
    if not _may_hold_great_numbers(body):
        with suppress(orjson.JSONDecodeError):  # the exact decoder says whether it is no JSON, or only unusual
            return orjson.loads(body)
    return _DECODER.decode(body.decode("utf-8"))


def _may_hold_great_numbers(body: bytes) -> bool:
    """Whether there are 19 digits in a row, or an exponent of three digits, be it in a number or not."""
    digits = body.translate(_DIGITS_AS_ZERO, b"+-")
    return b"0" * 19 in digits or b"0e000" in digits


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def _read_float(text: str) -> float | Decimal:
    number = float(text)
    if number and math.isfinite(number):
        return number
    try:
        return Decimal(text) or number
    except InvalidOperation:
        raise ValueError("a number beyond all measure") from None


_DIGITS_AS_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_DECODER = json.JSONDecoder(parse_float=_read_float, parse_constant=_refuse)
