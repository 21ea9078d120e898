"""Rows whose `extra` holds what has a column: found batch by batch, and brought there without touching anything else.

What a row is known by stays: its content hash (the content is the same), when it was seen, its tombstone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tables import quoted_name
from pco_store.mirror.upsert import fetch

_POSTGRES = dialect()  # type: ignore[no-untyped-call]
_QUOTE = _POSTGRES.identifier_preparer.quote
RowKey = tuple[str, str]
"""Church and id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRow:
    """A row as it is: the columns that were asked for, and `extra` as JSON text."""

    key: RowKey
    content_hash: bytes
    columns: Mapping[str, object]
    extra: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMove:
    """What is done to a row that still has this content hash. jsonb values and `put` are JSON text."""

    key: RowKey
    content_hash: bytes
    values: Mapping[str, object]
    dropped: Sequence[str]
    put: str


async def next_rows(
    connection: AsyncConnection,
    table: Table,
    *,
    attributes: Sequence[str],
    to_one: Mapping[str, str],
    org_id: str | None,
    after: RowKey | None,
    limit: int,
) -> list[StoredRow]:
    """The next rows, by their keys, whose `extra` has one of the `attributes` or one of the relationships `to_one`.

    Of one church, or of all. Their columns are those of the attributes, and those that `to_one` gives.
    """
    columns = list(dict.fromkeys([*attributes, *to_one.values()]))
    selected = "".join(f", {_QUOTE(name)}" for name in columns)
    of_whom = "org_id = $1 AND id > $2" if org_id is not None else "(org_id, id) > ($1, $2)"
    found = await fetch(
        connection,
        f"""
        SELECT org_id AS _org_id, id AS _id, _content_hash, extra::text AS _extra{selected} FROM {quoted_name(table)}
        WHERE {of_whom} AND (extra ?| $3::text[] OR extra -> '_relationships' ?| $4::text[]
                             OR extra -> '_relationships' ? '$json')
        ORDER BY org_id, id LIMIT $5
        """,  # noqa: S608 - names from the catalogue
        *(after or (org_id or "", "")),
        list(attributes),
        list(to_one),
        limit,
    )
    return [
        StoredRow(
            key=(row["_org_id"], row["_id"]),
            content_hash=row["_content_hash"],
            columns={name: row[name] for name in columns},
            extra=row["_extra"],
        )
        for row in found
    ]


async def move_to_columns(connection: AsyncConnection, table: Table, moves: Sequence[ColumnMove]) -> set[RowKey]:
    """Fill empty columns and take out of `extra` what they hold now; the rows that this was done to.

    Not done to a row that was written meanwhile: whoever wrote it knows the columns. Safe to repeat.
    """
    names = sorted({name for move in moves for name in move.values})
    arrays = ["$1::text[]", "$2::text[]", "$3::bytea[]", "$4::text[]", "$5::text[]"]
    assignments = ["extra = (stored.extra - ARRAY(SELECT jsonb_array_elements_text(_dropped::jsonb))) || _put::jsonb"]
    for number, name in enumerate(names, start=6):
        column_type = table.columns[name].type
        is_json = isinstance(column_type, JSONB)
        arrays.append(f"${number}::{'text' if is_json else column_type.compile(dialect=_POSTGRES)}[]")
        given = f"given.{_QUOTE(name)}" + ("::jsonb" if is_json else "")
        assignments.append(f"{_QUOTE(name)} = coalesce(stored.{_QUOTE(name)}, {given})")
    columns = ", ".join(["_org_id", "_id", "_hash", "_dropped", "_put", *map(_QUOTE, names)])
    written = await fetch(
        connection,
        f"""
        WITH given AS MATERIALIZED (SELECT * FROM unnest({", ".join(arrays)}) AS given ({columns})),
        held AS MATERIALIZED (
            SELECT stored.org_id, stored.id FROM {quoted_name(table)} AS stored
            JOIN given ON stored.org_id = _org_id AND stored.id = _id AND stored._content_hash = _hash
            ORDER BY stored.org_id, stored.id COLLATE "C" FOR UPDATE OF stored)
        UPDATE {quoted_name(table)} AS stored SET {", ".join(assignments)}
        FROM given JOIN held ON held.org_id = _org_id AND held.id = _id
        WHERE stored.org_id = _org_id AND stored.id = _id
        RETURNING stored.org_id, stored.id
        """,  # noqa: S608 - names from the catalogue; the lock order is that of the upserts
        [move.key[0] for move in moves],
        [move.key[1] for move in moves],
        [move.content_hash for move in moves],
        [json.dumps(list(move.dropped)) for move in moves],
        [move.put for move in moves],
        *([move.values.get(name) for move in moves] for name in names),
    )
    return {(row["org_id"], row["id"]) for row in written}
