"""How a page of rows is brought into its table: set-based, guarded, safe to repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.upsert_rules import (
    ABSENT,
    HASH_BYTES,
    KEY,
    TOMBSTONE,
    is_newer,
    is_same,
    kept_value,
    merged_value,
    tells_more,
    tells_otherwise,
    written_columns,
)

_POSTGRES = dialect()  # type: ignore[no-untyped-call]
_QUOTE = _POSTGRES.identifier_preparer.quote


@dataclass(frozen=True, kw_only=True, slots=True)
class UpsertCounts:
    """What a page did to its table. `stale` rows were older than what is stored, and changed nothing.

    `changed` rows are written, if only because something is known of them that was not. A row that only takes over the
    hash of the content that it has is `unchanged`.
    """

    new: int
    changed: int
    unchanged: int
    stale: int


async def upsert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> UpsertCounts:
    """Insert or update by (org_id, id); `rows` hold each id once, jsonb values as JSON text.

    A row is written only if its content differs from what is stored, or to lift a tombstone, and never if it is older:
    by `updated_at`, and where that is equal or unknown, by when the request was sent that showed it. A request sent
    before a record was found deleted does not bring it back. What not every way of reading knows has rules of its own
    (`pco_store.upsert_rules`).
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
    """The arguments of `upsert_ctes`: a list for each column, and one for what the records leave out."""
    ordered = sorted(rows, key=lambda row: str(row["id"]))  # one lock order for all writers: no deadlocks
    values = [[row[name] for row in ordered] for name in written_columns(table)]
    return [*values, [row.get(ABSENT) for row in ordered]]


@lru_cache(maxsize=2048)
def upsert_ctes(table: Table, *, condition: str = "true") -> str:
    """Common table expressions that upsert the columns given as $1, $2, ..., and count as `UpsertCounts` in `counts`.

    Nothing is written unless `condition` holds.
    """
    names = written_columns(table)
    columns = ", ".join(_QUOTE(name) for name in names)
    arrays, selected = [], []
    for number, name in enumerate(names, start=1):
        column_type = table.columns[name].type
        is_json = isinstance(column_type, JSONB)
        arrays.append(f"${number}::{'text' if is_json else column_type.compile(dialect=_POSTGRES)}[]")
        selected.append(f"given.{_QUOTE(name)}" + ("::jsonb" if is_json else ""))
    arrays.append(f"${len(names) + 1}::text[]")
    mirror = f"{_QUOTE(str(table.schema))}.{_QUOTE(table.name)}"
    more, otherwise, newer = tells_more(table, "page"), tells_otherwise(table, "page"), is_newer(table, "page")
    writes = f"{more} OR ({newer} AND (stored._deleted_at IS NOT NULL OR {otherwise}))"
    return f"""
        page ({columns}, {ABSENT}) AS (
            SELECT {", ".join(selected)}, given.{ABSENT}
            FROM unnest({", ".join(arrays)}) AS given ({columns}, {ABSENT})),
        before AS (
            SELECT stored.id, {is_same(table, "page", f"page.{ABSENT}")} AS is_same,
                   NOT ({writes}) AS is_quiet
            FROM page JOIN {mirror} AS stored ON stored.org_id = page.org_id AND stored.id = page.id),
        written AS (
            INSERT INTO {mirror} AS stored ({columns}) SELECT {columns} FROM page WHERE {condition}
            ON CONFLICT (org_id, id) DO UPDATE {_on_conflict(table)}
            RETURNING stored.id, (xmax = 0) AS is_new),
        counts AS (
            SELECT count(*) FILTER (WHERE written.is_new) AS new,
                   count(*) FILTER (WHERE NOT written.is_new
                       AND (before.is_same AND before.is_quiet) IS NOT TRUE) AS changed,
                   count(*) FILTER (WHERE written.is_new IS NOT TRUE AND before.is_same
                       AND (written.id IS NULL OR before.is_quiet)) AS unchanged,
                   count(*) FILTER (WHERE written.id IS NULL AND before.is_same IS NOT TRUE) AS stale
            FROM page LEFT JOIN written USING (id) LEFT JOIN before USING (id))
        """  # noqa: S608 - names from the catalogue


def _on_conflict(table: Table) -> str:
    """What becomes of a row that is there: nothing, all of the new one, or only what it tells or the hash it has.

    The first line of the WHERE is for the many rows that are as they were; the sub-queries run for the few others.
    """
    absent = f"known.{ABSENT}"
    newer = is_newer(table, "excluded")
    more, otherwise = tells_more(table, "excluded"), tells_otherwise(table, "excluded")
    known = f"""(
        SELECT one.{ABSENT}, {is_same(table, "excluded", f"one.{ABSENT}")} AS _same FROM page AS one
        WHERE one.org_id = excluded.org_id AND one.id = excluded.id OFFSET 0) AS known"""  # noqa: S608 - own names
    wins = f"{newer} AND (stored._deleted_at IS NOT NULL OR {otherwise} OR NOT _same)"
    is_old = f"octet_length(stored._content_hash) <> {HASH_BYTES}"
    names = [name for name in written_columns(table) if name not in KEY]
    values = []
    for name in names:
        merged, kept = merged_value(table, name, "excluded", absent), kept_value(table, name, "excluded")
        if name == "_content_hash":
            keeps = f"_same AND {absent} IS NOT NULL AND NOT {is_old}"
            merged = f"CASE WHEN {keeps} THEN stored.{name} ELSE excluded.{name} END"
            kept = f"CASE WHEN _same AND {is_old} THEN excluded.{name} ELSE stored.{name} END"
        values.append(f"CASE WHEN _wins THEN {merged} ELSE {kept} END")
    values += [f"CASE WHEN _wins THEN NULL ELSE stored.{name} END" for name in TOMBSTONE]
    return f"""
        SET ({", ".join(map(_QUOTE, (*names, *TOMBSTONE)))}) = (
            SELECT {", ".join(values)} FROM (SELECT *, {wins} AS _wins FROM {known} OFFSET 0) AS known)
        WHERE (stored._content_hash <> excluded._content_hash OR stored._deleted_at IS NOT NULL OR {otherwise})
            AND ({more} OR (SELECT ({wins}) OR ({is_old} AND _same) FROM {known}))
        """  # noqa: S608 - names from the catalogue
