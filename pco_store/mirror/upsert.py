"""How a page of rows is brought into its table: set-based, guarded, safe to repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tables import quoted_name
from pco_store.mirror.upsert_rules import (
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
    told_columns,
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
    (`pco_store.mirror.upsert_rules`).
    """
    if not rows:
        return UpsertCounts(new=0, changed=0, unchanged=0, stale=0)
    page = page_text(rows)
    if is_plain(rows):
        ctes = upsert_ctes([table], plain=True, gate=plainly(1))
        found = await fetch(connection, f"WITH {ctes} SELECT * FROM counts0 WHERE {plainly(1)}", page)  # noqa: S608
        if found:
            return UpsertCounts(**found[0])
    (counts,) = await fetch(connection, f"WITH {upsert_ctes([table])} SELECT * FROM counts0", page)  # noqa: S608
    return UpsertCounts(**counts)


async def fetch(connection: AsyncConnection, statement: str, *arguments: object) -> Sequence[Mapping[str, Any]]:
    """Run a statement with whole pages or columns as arguments; SQLAlchemy would look at every value.

    In a transaction it must not be the first statement: SQLAlchemy begins one with the first of its own.
    """
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    rows: Sequence[Mapping[str, Any]] = await driver.fetch(statement, *arguments, timeout=60)
    return rows


def page_text(rows: Sequence[Mapping[str, object]]) -> str:
    """The argument of `upsert_ctes`: the rows as JSON text, and what their records leave out.

    Postgres reads back each value exactly. asyncpg would look several times at every value of an array for each column,
    which takes three times as long.
    """
    ordered = sorted(rows, key=lambda row: str(row["id"]))  # one lock order for all writers: no deadlocks
    return orjson.dumps(ordered, default=_bytea).decode()


def _bytea(value: object) -> str:
    """What orjson cannot write, as Postgres writes it."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"no column holds a {type(value).__name__}")


def is_plain(rows: Sequence[Mapping[str, object]]) -> bool:
    """Whether every record shows all that PCO renders for its kind, so that the plain statement may be tried."""
    return all(row.get(ABSENT) is None for row in rows)


def plainly(tables: int) -> str:
    """Of the pages of so many tables: a whole row that wins replaces what is stored, and all others change nothing."""
    return " AND ".join(f"NOT EXISTS (SELECT FROM before{nth} WHERE is_intricate)" for nth in range(tables))


def upsert_ctes(
    tables: Sequence[Table], *, gate: str = "true", between: str = "", each: int = 1, plain: bool = False
) -> str:
    """Common table expressions that upsert the rows of these tables, and count as `UpsertCounts` in `counts0`, ...

    The rows of the n-th (from 0 on) are given as $1 + n * `each` (`page_text`). Nothing is written unless `gate` holds,
    which may name what stands in `before0`, ..., and in `between`: further expressions, which may name them, too.

    `plain` ones do the same with a statement of a third of the cost, for pages of `is_plain` rows for which `plainly`
    holds: the row that wins is written as a whole. The gate must demand that.

    A stored row is looked for as the first from its key on: Postgres thinks that there are many, so it takes the index
    that has them in this order, the primary key's, in every plan. It keeps the plan of a prepared statement, and if it
    is asked for the row that has the key, one that is made while the table is empty looks through all rows of the
    table, or of the church by another index that begins with org_id.
    """
    numbered = list(enumerate(tables))
    given = [_given_ctes(table, nth, f"${1 + nth * each}", plain=plain) for nth, table in numbered]
    written = [_written_ctes(table, nth, gate, plain=plain) for nth, table in numbered]
    return ", ".join(filter(None, (*given, between, *written)))


@lru_cache(maxsize=1024)
def _given_ctes(table: Table, nth: int, argument: str, *, plain: bool) -> str:
    names = written_columns(table)
    given, selected = [], []
    for name in names:
        column_type = table.columns[name].type
        is_json = isinstance(column_type, JSONB)
        given.append(f"{_QUOTE(name)} {'text' if is_json else column_type.compile(dialect=_POSTGRES)}")
        selected.append(f"given.{_QUOTE(name)}" + ("::jsonb" if is_json else ""))
    return f"""
        page{nth} ({_columns(table)}, {ABSENT}) AS (
            SELECT {", ".join(selected)}, given.{ABSENT}
            FROM json_to_recordset({argument}::json) AS given ({", ".join(given)}, {ABSENT} text)),
        before{nth} AS (
            SELECT stored.id, {_before_plain(table) if plain else _before(table)}
            FROM page{nth} AS page CROSS JOIN LATERAL (
                SELECT * FROM {quoted_name(table)} AS one
                WHERE (one.org_id, one.id) >= (page.org_id, page.id) ORDER BY one.org_id, one.id LIMIT 1) AS stored
            WHERE stored.org_id = page.org_id AND stored.id = page.id)
        """  # noqa: S608 - names from the catalogue


@lru_cache(maxsize=1024)
def _written_ctes(table: Table, nth: int, gate: str, *, plain: bool) -> str:
    columns = _columns(table)
    return f"""
        written{nth} AS (
            INSERT INTO {quoted_name(table)} AS stored ({columns}) SELECT {columns} FROM page{nth} WHERE {gate}
            ON CONFLICT (org_id, id) DO UPDATE {_on_conflict_plain(table) if plain else _on_conflict(table, nth)}
            RETURNING stored.id, (xmax = 0) AS is_new),
        counts{nth} AS (
            SELECT count(*) FILTER (WHERE written.is_new) AS new,
                   count(*) FILTER (WHERE NOT written.is_new
                       AND (before.is_same AND before.is_quiet) IS NOT TRUE) AS changed,
                   count(*) FILTER (WHERE written.is_new IS NOT TRUE AND before.is_same
                       AND (written.id IS NULL OR before.is_quiet)) AS unchanged,
                   count(*) FILTER (WHERE written.id IS NULL AND before.is_same IS NOT TRUE) AS stale
            FROM page{nth} LEFT JOIN written{nth} AS written USING (id) LEFT JOIN before{nth} AS before USING (id))
        """  # noqa: S608 - names from the catalogue


def _columns(table: Table) -> str:
    return ", ".join(_QUOTE(name) for name in written_columns(table))


def _before(table: Table) -> str:
    more, otherwise, newer = tells_more(table, "page"), tells_otherwise(table, "page"), is_newer(table, "page")
    writes = f"{more} OR ({newer} AND (stored._deleted_at IS NOT NULL OR {otherwise}))"
    return f"{is_same(table, 'page', f'page.{ABSENT}')} AS is_same, NOT ({writes}) AS is_quiet"


def _before_plain(table: Table) -> str:
    """Not plain: a hash of another rule, relationships in `extra` that may have to stay, an older one that adds."""
    return (
        "stored._content_hash = page._content_hash AS is_same, false AS is_quiet, "
        f"octet_length(stored._content_hash) <> {HASH_BYTES} "
        "OR (stored.extra ? '_relationships' AND (stored._content_hash <> page._content_hash "
        f"OR stored._deleted_at IS NOT NULL OR {tells_otherwise(table, 'page')})) "
        f"OR ({tells_more(table, 'page')} AND NOT {is_newer(table, 'page')}) AS is_intricate"
    )


def _on_conflict_plain(table: Table) -> str:
    told = set(told_columns(table))
    assigned = [_QUOTE(name) for name in written_columns(table) if name not in KEY and name not in told]
    values = [f"{name} = excluded.{name}" for name in assigned]
    values += [f"{_QUOTE(name)} = coalesce(excluded.{_QUOTE(name)}, stored.{_QUOTE(name)})" for name in sorted(told)]
    values += [f"{name} = NULL" for name in TOMBSTONE]
    differs = f"stored._content_hash <> excluded._content_hash OR {tells_otherwise(table, 'excluded')}"
    return f"""
        SET {", ".join(values)}
        WHERE (stored._deleted_at IS NOT NULL OR {differs}) AND {is_newer(table, "excluded")}
        """


def _on_conflict(table: Table, nth: int) -> str:
    """What becomes of a row that is there: nothing, all of the new one, or only what it tells or the hash it has.

    The first line of the WHERE is for the many rows that are as they were; the sub-queries run for the few others.
    """
    absent = f"known.{ABSENT}"
    newer = is_newer(table, "excluded")
    more, otherwise = tells_more(table, "excluded"), tells_otherwise(table, "excluded")
    known = f"""(
        SELECT one.{ABSENT}, {is_same(table, "excluded", f"one.{ABSENT}")} AS _same FROM page{nth} AS one
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
