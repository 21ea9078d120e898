"""How a page of rows is brought into its table: set-based, guarded, safe to repeat."""

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
    ctes = upsert_ctes(table)
    (counts,) = await fetch(connection, f"WITH {ctes} SELECT * FROM counts", *column_values(table, rows))  # noqa: S608
    return UpsertCounts(**counts)


async def fetch(connection: AsyncConnection, statement: str, *arguments: object) -> Sequence[Mapping[str, Any]]:
    """Run a statement with whole columns as arguments; SQLAlchemy would look at every value.

    In a transaction it must not be the first statement: SQLAlchemy begins one with the first of its own.
    """
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    rows: Sequence[Mapping[str, Any]] = await driver.fetch(statement, *arguments, timeout=60)
    return rows


def column_values(table: Table, rows: Sequence[Mapping[str, object]]) -> list[list[object]]:
    """The arguments of `upsert_ctes`: a list for each column."""
    ordered = sorted(rows, key=lambda row: str(row["id"]))  # one lock order for all writers: no deadlocks
    return [[row[name] for row in ordered] for name in _written_columns(table)]


@lru_cache(maxsize=2048)
def upsert_ctes(table: Table, *, condition: str = "true") -> str:
    """Common table expressions that upsert the columns given as $1, $2, ..., and count as `UpsertCounts` in `counts`.

    Nothing is written unless `condition` holds.
    """
    names = _written_columns(table)
    columns = ", ".join(_QUOTE(name) for name in names)
    arrays, selected = [], []
    for number, name in enumerate(names, start=1):
        column_type = table.columns[name].type
        is_json = isinstance(column_type, JSONB)
        arrays.append(f"${number}::{'text' if is_json else column_type.compile(dialect=_POSTGRES)}[]")
        selected.append(f"given.{_QUOTE(name)}" + ("::jsonb" if is_json else ""))
    assignments = ", ".join(f"{_QUOTE(name)} = excluded.{_QUOTE(name)}" for name in names if name not in KEY)
    order = "excluded._synced_at >= stored._synced_at"
    if "updated_at" in table.columns:
        order = (
            "CASE WHEN excluded.updated_at = stored.updated_at OR excluded.updated_at IS NULL "
            "OR stored.updated_at IS NULL "
            f"THEN {order} ELSE excluded.updated_at > stored.updated_at END"
        )
    mirror = f"{_QUOTE(str(table.schema))}.{_QUOTE(table.name)}"
    return f"""
        page ({columns}) AS (
            SELECT {", ".join(selected)} FROM unnest({", ".join(arrays)}) AS given ({columns})),
        before AS (
            SELECT stored.id, stored._content_hash FROM page
            JOIN {mirror} AS stored ON stored.org_id = page.org_id AND stored.id = page.id),
        written AS (
            INSERT INTO {mirror} AS stored ({columns}) SELECT {columns} FROM page WHERE {condition}
            ON CONFLICT (org_id, id) DO UPDATE
            SET {assignments}, _deleted_at = NULL, _deleted_reason = NULL
            WHERE (stored._content_hash <> excluded._content_hash OR stored._deleted_at IS NOT NULL) AND {order}
                AND (stored._deleted_at IS NULL OR stored._deleted_at < excluded._synced_at)
            RETURNING stored.id, (xmax = 0) AS is_new),
        counts AS (
            SELECT count(*) FILTER (WHERE written.is_new) AS new,
                   count(*) FILTER (WHERE NOT written.is_new) AS changed,
                   count(*) FILTER (WHERE written.id IS NULL
                       AND before._content_hash = page._content_hash) AS unchanged,
                   count(*) FILTER (WHERE written.id IS NULL
                       AND before._content_hash IS DISTINCT FROM page._content_hash) AS stale
            FROM page LEFT JOIN written USING (id) LEFT JOIN before USING (id))
        """  # noqa: S608 - names from the catalogue


@lru_cache(maxsize=1024)
def _written_columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name not in TOMBSTONE)
