"""Which records a list request selects, and in which order."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from pco_simulator.answering.query import Condition, ListQuery
from pco_simulator.contents.listing import Listing

_NAME_SEARCHES: Final = frozenset({"search_name", "search_name_or_email", "search_name_or_email_or_phone_number"})
_NAMES: Final = ("name", "first_name", "given_name", "nickname", "last_name")
"""What a search by name looks at: the beginning of any word in them, and the whole name."""


def select_ids(
    listing: Listing, query: ListQuery, ids: Sequence[int], dates: frozenset[str] = frozenset()
) -> Sequence[int]:
    """Those of `ids` (in default order) that match, in the order asked for.

    Ties keep the default order; nulls come first, and last when descending; text folds case and accents.
    """
    ranged = (one.attribute for one in query.where if one.operator and one.attribute not in dates)
    attribute = next(ranged, None) if ids is listing.ids else None
    if attribute is not None:
        ids = _in_range(listing, attribute, query.where)
    for condition in query.where:
        if condition.operator and condition.attribute == attribute:
            continue
        if condition.attribute in _NAME_SEARCHES:
            ids = _named(listing, condition.value, ids)
        elif condition.attribute != "archive_status":
            column, matches = listing.column(condition.attribute), _matcher(condition, condition.attribute in dates)
            ids = [one for one in ids if matches(column[one])]
    ids = _hide_archived(listing, query, ids)
    for name in reversed(query.order):
        column = listing.column(name.removeprefix("-"))
        keys = {one: _sort_key(column[one]) for one in ids}
        ids = sorted(ids, key=keys.__getitem__, reverse=name.startswith("-"))
    return ids


def _in_range(listing: Listing, attribute: str, conditions: Sequence[Condition]) -> Sequence[int]:
    """The records whose time is in the range, in default order. An unfit bound fits nothing."""
    values, ids = listing.ordered(attribute)
    first, last = 0, len(values)
    for condition in conditions:
        if condition.attribute != attribute or not condition.operator:
            continue
        bound = _bound(condition.value, is_date=False)
        if bound is None:
            return ()
        if condition.operator in ("gt", "gte"):
            first = max(first, (bisect_right if condition.operator == "gt" else bisect_left)(values, bound))
        else:
            last = min(last, (bisect_right if condition.operator == "lte" else bisect_left)(values, bound))
    return sorted(ids[first:last])


def _named(listing: Listing, wanted: str, ids: Sequence[int]) -> Sequence[int]:
    """Who has a name of which a word begins so: not those who have it in the middle of a word."""
    begins = f" {' '.join(wanted.casefold().split())}"
    columns = [listing.column(name) for name in _NAMES]
    return [one for one in ids if any(begins in f" {_text(column[one])}" for column in columns if column[one])]


def _hide_archived(listing: Listing, query: ListQuery, ids: Sequence[int]) -> Sequence[int]:
    """Groups hides archived groups unless `where[archive_status]` says `include` or `only` (#781)."""
    if listing.name != "groups.Group":
        return ids
    asked = next((one.value for one in query.where if one.attribute == "archive_status"), "not_archived")
    if asked == "include":
        return ids
    column = listing.column("archived_at")
    return [one for one in ids if (column[one] is not None) == (asked == "only")]


def _matcher(condition: Condition, is_date: bool) -> Callable[[Any], bool]:
    if condition.operator:
        return _range_matcher(condition, is_date)
    wanted = condition.value.casefold()
    if "%" in wanted:
        return lambda value: value is not None and _is_like(_text(value), wanted)
    return lambda value: value is not None and _text(value) == wanted


def _range_matcher(condition: Condition, is_date: bool) -> Callable[[Any], bool]:
    """Times are compared as their text without the Z; an unfit value fits nothing."""
    bound = _bound(condition.value, is_date=is_date)
    if bound is None:
        return lambda value: False
    match condition.operator:
        case "gt":
            return lambda value: isinstance(value, str) and value[:19] > bound
        case "gte":
            return lambda value: isinstance(value, str) and value[:19] >= bound
        case "lt":
            return lambda value: isinstance(value, str) and value[:19] < bound
    return lambda value: isinstance(value, str) and value[:19] <= bound


def _bound(text: str, *, is_date: bool) -> str | None:
    """A time as it is compared; its zone offset is ignored (#713)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=None).isoformat()[: 10 if is_date else None]


def _is_like(text: str, pattern: str) -> bool:
    """`%` stands for anything, also for nothing."""
    head, *middle, tail = pattern.split("%")
    if not text.startswith(head) or not text.endswith(tail) or len(text) < len(head) + len(tail):
        return False
    place = len(head)
    for part in middle:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return place <= len(text) - len(tail)


def _text(value: Any) -> str:
    return str(value).casefold()


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Comparable whatever the type: null, then numbers, then text."""
    if value is None:
        return (0, 0, "")
    if isinstance(value, int | float):
        return (1, value, "")
    text = str(value)
    if text.isascii():
        return (2, 0, text.casefold())
    bare = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return (2, 0, bare.casefold())
