"""What an upsert decides of one row, as SQL: whether it is the same, whether it is newer, and what becomes of it.

`stored` is the row in the table, `given` the alias of the one that comes in. Three kinds of columns:

- *Content*: what PCO always renders, and `extra`. The content hash covers it. It is written as a whole, and never by
  something older.
- *Told*: ancestors that only a path names, relationships that PCO does not render, attributes on request. Null means
  that nobody has told it. A known value replaces an unknown one, whoever is older; a different known one wins if it
  is newer; null never erases.
- *Bookkeeping*: goes with the content.

A record that leaves out a relationship which PCO renders for its kind says nothing of it: `_absent` names those, and
what is stored of them stays. A relationship that is rendered as null is known to be null, and erases.
"""

# Everything here is SQL, made of names from the catalogue.
# ruff: noqa: S608

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import dialect

HASH_BYTES: Final = 20
"""Content hashes of this length compare; older ones covered what the request happened to show (ADR 18)."""
KEY: Final = ("org_id", "id")
TOMBSTONE: Final = ("_deleted_at", "_deleted_reason")
BOOKKEEPING: Final = ("_synced_at", "_epoch", "_content_hash")
ABSENT: Final = "_absent"
"""Beside the columns of a row: the relationships that its record leaves out, by their columns where they have one, else
by their names, with commas around each; null if there are none."""

_QUOTE = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1024)
def written_columns(table: Table) -> tuple[str, ...]:
    """The columns that a row of a page brings, in the table's order."""
    return tuple(column.name for column in table.columns if column.name not in TOMBSTONE)


def told_columns(table: Table) -> tuple[str, ...]:
    """The columns that not every way of reading knows."""
    told: tuple[str, ...] = table.info["told"]
    return told


def is_same(table: Table, given: str, absent: str) -> str:
    """Whether the content is the same: by the hashes where both cover the whole record, else column by column."""
    others = ",".join((*KEY, *BOOKKEEPING, *TOMBSTONE, ABSENT, "extra", *told_columns(table)))
    content = f"- ('{{{others}}}'::text[] || coalesce(string_to_array({absent}, ','), '{{}}'))"
    return (
        f"(stored._content_hash = {given}._content_hash OR ("
        f"(octet_length(stored._content_hash) <> {HASH_BYTES} OR {absent} IS NOT NULL) "
        f"AND to_jsonb(stored) {content} = to_jsonb({given}) {content} "
        f"AND stored.extra = {_merged_extra(table, given, absent)}))"
    )


def is_newer(table: Table, given: str) -> str:
    """By `updated_at`, where that is equal or unknown by the time of the request; and not from before a deletion.

    A time that goes back is believed when the request came a day later: Planning Center lags by minutes, and what it
    has restored or corrected would be refused for ever.
    """
    order = f"{given}._synced_at >= stored._synced_at"
    if "updated_at" in table.columns:
        order = (
            f"CASE WHEN {given}.updated_at = stored.updated_at OR {given}.updated_at IS NULL "
            f"OR stored.updated_at IS NULL THEN {order} ELSE {given}.updated_at > stored.updated_at "
            f"OR {given}._synced_at > stored._synced_at + interval '1 day' END"
        )
    return f"(({order}) AND (stored._deleted_at IS NULL OR stored._deleted_at < {given}._synced_at))"


def tells_more(table: Table, given: str) -> str:
    """Whether a told column is null, and its value is known now."""
    names = [_QUOTE(name) for name in told_columns(table)]
    return _any(f"{given}.{name} IS NOT NULL AND stored.{name} IS NULL" for name in names)


def tells_otherwise(table: Table, given: str) -> str:
    """Whether a told column has a known value that is not the stored one."""
    names = [_QUOTE(name) for name in told_columns(table)]
    return _any(f"{given}.{name} IS DISTINCT FROM stored.{name} AND {given}.{name} IS NOT NULL" for name in names)


def merged_value(table: Table, name: str, given: str, absent: str) -> str:
    """A column of the row that newer content makes of the stored one and the one that comes in."""
    column = _QUOTE(name)
    if name == "extra":
        return _merged_extra(table, given, absent)
    if name in told_columns(table):
        return f"coalesce({given}.{column}, stored.{column})"
    if name in table.info["pointers"].values():
        return f"CASE WHEN strpos({absent}, ',{name},') > 0 THEN stored.{column} ELSE {given}.{column} END"
    return f"{given}.{column}"


def kept_value(table: Table, name: str, given: str) -> str:
    """A column of the row to which something older, or no newer, adds what it tells."""
    column = _QUOTE(name)
    if name in told_columns(table):
        return f"coalesce(stored.{column}, {given}.{column})"
    return f"stored.{column}"


def _merged_extra(table: Table, given: str, absent: str) -> str:
    """Relationships that were shown once and are not mentioned now stay, unless a column tells them."""
    dropped = ",".join(("$json", *table.info["to_one"]))
    shown = f"coalesce({given}.extra -> '_relationships', '{{}}')"
    stayed = (
        "(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(stored.extra -> '_relationships') "
        f"WHERE key <> ALL ('{{{dropped}}}') OR strpos({absent}, ',' || key || '_id,') > 0)"
    )
    return (
        f"CASE WHEN NOT stored.extra ? '_relationships' OR {shown} ? '$json' THEN {given}.extra "
        f"ELSE {given}.extra || (SELECT CASE WHEN merged = '{{}}' THEN merged "
        "ELSE jsonb_build_object('_relationships', merged) END "
        f"FROM (SELECT {stayed} || {shown} AS merged OFFSET 0) AS said) END"
    )


def _any(conditions: Iterable[str]) -> str:
    joined = " OR ".join(f"({one})" for one in conditions)
    return f"({joined})" if joined else "false"
