"""What a list request asks for, read as PCO reads it: silently."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from pco_catalog.catalog import Entity
from pco_simulator.world import Collection

DEFAULT_PER_PAGE: Final = 25
MOST_PER_PAGE: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """`where[attribute]=value` or `where[attribute][operator]=value`."""

    attribute: str
    operator: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListQuery:
    """A list request. `per_page` is capped, and what the entity cannot be asked is already gone."""

    offset: int
    per_page: int
    order: str
    where: tuple[Condition, ...]


def read_query(raw: str, entity: Entity) -> ListQuery:
    """Unknown `where` and `order` keys are ignored, `per_page` is capped without a word, as PCO does."""
    offset, per_page, order = 0, DEFAULT_PER_PAGE, ""
    where: list[Condition] = []
    for key, value in parse_qsl(raw, keep_blank_values=True):
        if key == "offset":
            offset = max(_number(value, 0), 0)
        elif key == "per_page":
            per_page = min(max(_number(value, DEFAULT_PER_PAGE), 0), MOST_PER_PAGE)
        elif key == "order" and value.removeprefix("-") in entity.can_order_by:
            order = value
        elif key.startswith("where["):
            condition = _condition(key, value, entity)
            if condition is not None:
                where.append(condition)
    return ListQuery(offset=offset, per_page=per_page, order=order, where=tuple(where))


def select_ids(collection: Collection, query: ListQuery, parent: tuple[str, str]) -> list[int]:
    """The ids that match, in order."""
    ids: list[int] = collection.ids
    relationship, parent_id = parent
    if relationship:
        ids = [one for one in ids if _is_child(collection.record(one).relationships.get(relationship), parent_id)]
    for condition in query.where:
        ids = [one for one in ids if _holds(_value(collection, one, condition.attribute), condition)]
    if query.order:
        name = query.order.removeprefix("-")
        ids = sorted(ids, key=lambda one: _sortable(_value(collection, one, name)), reverse=query.order[0] == "-")
    return ids


def _condition(key: str, value: str, entity: Entity) -> Condition | None:
    parts = key.removeprefix("where[").removesuffix("]").split("][")
    attribute = parts[0]
    if attribute not in entity.can_query_by or len(parts) > 2:
        return None
    operator = parts[1] if len(parts) == 2 else ""
    if operator and (operator not in {"gt", "gte", "lt", "lte"} or attribute not in entity.range_query_by):
        return None
    return Condition(attribute=attribute, operator=operator, value=value)


def _value(collection: Collection, record_id: int, name: str) -> Any:
    return str(record_id) if name == "id" else collection.record(record_id).attributes.get(name)


def _holds(value: Any, condition: Condition) -> bool:
    if value is None:
        return False
    if not condition.operator:
        wanted = condition.value.casefold()
        text = ("true" if value else "false") if isinstance(value, bool) else str(value).casefold()
        if "%" in wanted:
            return _like(text, wanted)
        return text == wanted
    try:
        ours, theirs = _moment(str(value)), _moment(condition.value)
    except ValueError:
        return False
    match condition.operator:
        case "gt":
            return ours > theirs
        case "gte":
            return ours >= theirs
        case "lt":
            return ours < theirs
    return ours <= theirs


def _like(text: str, pattern: str) -> bool:
    head, *middle, tail = pattern.split("%")
    if not (text.startswith(head) and text.endswith(tail) and len(text) >= len(head) + len(tail)):
        return False
    place = len(head)
    for part in middle:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return place <= len(text) - len(tail)


def _moment(text: str) -> datetime:
    if len(text) == len("2026-01-01"):
        text = date.fromisoformat(text).isoformat() + "T00:00:00"
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sortable(value: Any) -> tuple[bool, str]:
    return (value is not None, str(value).casefold())


def _is_child(relationship: Any, parent_id: str) -> bool:
    data = relationship.get("data") if isinstance(relationship, dict) else None
    return isinstance(data, dict) and data.get("id") == parent_id


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.lstrip("-").isdecimal() else otherwise
