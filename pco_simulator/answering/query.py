"""What a list request asks for, read as PCO reads it: whatever is unknown is ignored without a word."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from pco_simulator.contents.listing import ListFacts
from pco_simulator.invented.invention import time_text

DEFAULT_PER_PAGE: Final = 25
MOST_PER_PAGE: Final = 100
DELETED: Final = frozenset({"only_deleted", "recently_deleted"})
"""Filters that show deleted records, and no others."""
TIMES: Final = {"upcoming": "gte", "future": "gte", "past": "lt"}
"""Filters that show what begins from now on, or what began before."""
RANGES: Final = frozenset({"gt", "gte", "lt", "lte"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """`where[attribute]=value` (no operator) or `where[attribute][operator]=value`."""

    attribute: str
    operator: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListQuery:
    """A list request of which only what the list understands is left. `order` names have a `-` when descending.

    `include` may have names of two levels, `field_data.field_definition`; the second one may be unknown.
    `shows_deleted`: a filter asks for deleted records only. `selection` is the part of it that decides which records,
    and in which order: pages with the same selection belong together.
    """

    offset: int = 0
    per_page: int = DEFAULT_PER_PAGE
    order: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    shows_deleted: bool = False
    include: tuple[str, ...] = ()
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def without(self, names: Set[str]) -> "ListQuery":
        """The request as it is understood where these attributes are not filtered or ordered by."""
        if not names:
            return self
        return replace(
            self,
            order=tuple(one for one in self.order if one.removeprefix("-") not in names),
            where=tuple(one for one in self.where if one.attribute not in names),
            shows_deleted=self.shows_deleted and names.isdisjoint(DELETED),
        )

    @property
    def selection(self) -> tuple[tuple[str, ...], tuple[Condition, ...], bool]:
        """Order, conditions, and whether it is about deleted records."""
        return self.order, self.where, self.shows_deleted


def read_query(raw: str, facts: ListFacts, *, clock: Callable[[], datetime]) -> ListQuery:
    """Read a raw query string, at the time that it is by PCO's clock.

    `per_page` is capped at 100 silently; what cannot be read has its default. Of filters only those are understood
    that ask for deleted records, or for what is to come or is over.
    """
    offset, per_page = 0, DEFAULT_PER_PAGE
    order: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    shows_deleted = False
    where: list[Condition] = []
    fields: list[tuple[str, tuple[str, ...]]] = []
    for key, value in parse_qsl(raw, keep_blank_values=True):
        if key == "offset":
            offset = max(_number(value, 0), 0)
        elif key == "per_page":
            per_page = min(max(_number(value, DEFAULT_PER_PAGE), 0), MOST_PER_PAGE)
        elif key == "order":
            order = tuple(name for name in _names(value) if name.removeprefix("-") in facts.can_order_by)
        elif key == "filter":
            known = [name for name in _names(value) if name in facts.can_filter]
            shows_deleted = not DELETED.isdisjoint(known)
            operators = {TIMES[name] for name in known if name in TIMES and facts.begins}
            where.extend(
                Condition(attribute=facts.begins, operator=one, value=time_text(clock())) for one in sorted(operators)
            )
        elif key == "include":
            include = tuple(name for name in _names(value) if name.partition(".")[0] in facts.can_include)
        elif key.startswith("fields[") and key.endswith("]"):
            fields.append((key[len("fields[") : -1], _names(value)))
        elif key.startswith("where[") and key.endswith("]"):
            condition = _condition(key[len("where[") : -1], value, facts)
            where.extend([condition] if condition else [])
    return ListQuery(
        offset=offset,
        per_page=per_page,
        order=order,
        where=tuple(where),
        shows_deleted=shows_deleted,
        include=include,
        fields=tuple(fields),
    )


def _condition(key: str, value: str, facts: ListFacts) -> Condition | None:
    """None for what PCO ignores: unknown attributes, nested ones, ranges on what is no time."""
    attribute, _, operator = key.partition("][")
    if attribute not in facts.can_query_by:
        return None
    if operator and (operator not in RANGES or attribute not in facts.ranges):
        return None
    return Condition(attribute=attribute, operator=operator, value=value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() else otherwise
