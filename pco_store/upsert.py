"""One statement that brings a page of rows into its table: set-based, guarded, safe to repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.ext.asyncio import AsyncConnection

_POSTGRES = dialect()  # type: ignore[no-untyped-call]
_QUOTE = _POSTGRES.identifier_preparer.quote
KEY = ("org_id", "id")
TOMBSTONE = ("_deleted_at", "_deleted_reason")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpsertCounts:
    """What a page did to its table. `stale` rows were older than what is stored, and changed nothing."""

    new: int
    changed: int
    unchanged: int
    stale: int


async def upsert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> UpsertCounts:
    """Insert or update by (org_id, id); `rows` hold each id once, jsonb values as JSON text.

    A row is written only if its content differs from what is stored, or to lift a tombstone, and never if it is older:
    by `updated_at`, and where that is equal or unknown, by when the request was sent that showed it. A request sent
    before a record was found deleted does not bring it back.
    """
    if not rows:
        return UpsertCounts(new=0, changed=0, unchanged=0, stale=0)
    ordered = sorted(rows, key=lambda row: str(row["id"]))  # one lock order for all writers: no deadlocks
    statement, names = _statement(table)
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    written = await driver.fetch(statement, *[[row[name] for row in ordered] for name in names], timeout=60)
    new = sum(1 for row in written if row["is_new"])
    untouched = {str(row["id"]): row["_content_hash"] for row in ordered}
    for row in written:
        del untouched[row["id"]]
    unchanged = await _count_equal(driver, table, str(ordered[0]["org_id"]), untouched) if untouched else 0
    return UpsertCounts(new=new, changed=len(written) - new, unchanged=unchanged, stale=len(untouched) - unchanged)


async def _count_equal(driver: Any, table: Table, org_id: str, hashes: Mapping[str, object]) -> int:
    """How many of the rows that were not written are stored with the same content; the others were older."""
    stored = await driver.fetch(
        f"SELECT id, _content_hash FROM {_qualified(table)} "  # noqa: S608 - names from the catalogue
        "WHERE org_id = $1 AND id = ANY($2::text[])",
        org_id,
        list(hashes),
    )
    return sum(1 for row in stored if hashes[row["id"]] == row["_content_hash"])


def _qualified(table: Table) -> str:
    return f"{_QUOTE(str(table.schema))}.{_QUOTE(table.name)}"


@lru_cache(maxsize=1024)
def _statement(table: Table) -> tuple[str, tuple[str, ...]]:
    names = tuple(column.name for column in table.columns if column.name not in TOMBSTONE)
    columns = ", ".join(_QUOTE(name) for name in names)
    arrays, selected = [], []
    for number, name in enumerate(names, start=1):
        column_type = table.columns[name].type
        is_json = isinstance(column_type, JSONB)
        arrays.append(f"${number}::{'text' if is_json else column_type.compile(dialect=_POSTGRES)}[]")
        selected.append(f"page.{_QUOTE(name)}" + ("::jsonb" if is_json else ""))
    assignments = ", ".join(f"{_QUOTE(name)} = excluded.{_QUOTE(name)}" for name in names if name not in KEY)
    order = "excluded._synced_at >= stored._synced_at"
    if "updated_at" in table.columns:
        order = (
            "CASE WHEN excluded.updated_at = stored.updated_at OR excluded.updated_at IS NULL "
            "OR stored.updated_at IS NULL "
            f"THEN {order} ELSE excluded.updated_at > stored.updated_at END"
        )
    return (
        f"""
        INSERT INTO {_qualified(table)} AS stored ({columns})
        SELECT {", ".join(selected)} FROM unnest({", ".join(arrays)}) AS page ({columns})
        ON CONFLICT (org_id, id) DO UPDATE
        SET {assignments}, _deleted_at = NULL, _deleted_reason = NULL
        WHERE (stored._content_hash <> excluded._content_hash OR stored._deleted_at IS NOT NULL) AND {order}
            AND (stored._deleted_at IS NULL OR stored._deleted_at < excluded._synced_at)
        RETURNING stored.id, (xmax = 0) AS is_new
        """,  # noqa: S608 - names from the catalogue
        names,
    )
