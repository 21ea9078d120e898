"""Whether a mirror shows exactly what PCO has: every attribute and every relationship of every record."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity
from tasks.rows.transform import restore_json

BOOKKEEPING = frozenset(
    {"org_id", "id", "extra", "_synced_at", "_epoch", "_deleted_at", "_deleted_reason", "_content_hash"}
)


def differences(records: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]], entity: Entity) -> list[str]:
    """One line for each difference between PCO's records and the live rows; empty when they are the same."""
    sources = {str(one["id"]): one for one in records}
    live = [row for row in rows if row["_deleted_at"] is None]
    mirrored = {str(row["id"]): row for row in live}
    found = [f"{identity}: not in the mirror" for identity in sources.keys() - mirrored.keys()]
    found += [f"{identity}: not in PCO" for identity in mirrored.keys() - sources.keys()]
    if len(mirrored) != len(live):
        found.append("some id has two rows")
    for identity in sources.keys() & mirrored.keys():
        found += [f"{identity}.{told}" for told in record_differences(sources[identity], mirrored[identity], entity)]
    return sorted(found)


def record_differences(record: Mapping[str, Any], row: Mapping[str, Any], entity: Entity) -> list[str]:
    """In what one row does not say what the record says, or says more."""
    extra = dict(row["extra"])
    links = restore_json(extra.pop("_relationships", {}))
    assert isinstance(links, dict)
    from_path = set(columns_of(entity).told)
    unread = {name for name, value in row.items() if name not in BOOKKEEPING | from_path and value is not None}
    found = []
    for name, value in record.get("attributes", {}).items():
        unread.discard(name)
        stored = restore_json(extra.pop(name)) if name in extra else row.get(name)
        if not _is_same(value, stored, entity, name):
            found.append(f"{name}: {value!r} is stored as {stored!r}")
    for name, relationship in record.get("relationships", {}).items():
        column = f"{name}_id"
        unread.discard(column)
        kept = links.pop(name, None)
        if not _is_same_relationship(relationship, row.get(column), kept):
            found.append(f"{name}: {relationship!r} is stored as {row.get(column)!r} and {kept!r}")
    found += [f"{name}: PCO has no such value" for name in (*unread, *extra, *links)]
    return found


def _is_same(value: Any, stored: Any, entity: Entity, name: str) -> bool:
    if isinstance(stored, datetime):
        return isinstance(value, str) and datetime.fromisoformat(value) == stored
    if isinstance(stored, date):
        return bool(stored.isoformat() == value)
    if name in entity.attributes and entity.attributes[name].type == "primary_key" and isinstance(value, int):
        return bool(stored == str(value))
    if isinstance(value, bool) or isinstance(stored, bool):
        return value is stored
    return bool(value == stored)


def _is_same_relationship(relationship: Any, column: Any, kept: Any) -> bool:
    """What PCO said without its links: in a column if that tells everything, else whole in `extra`."""
    told = {key: value for key, value in relationship.items() if key != "links"}
    if kept is not None:
        return bool(kept == told)
    data = told.get("data")
    if isinstance(data, dict):
        return bool(column == data["id"]) and told.keys() == {"data"}
    return data is None and column is None and told.keys() <= {"data"}
