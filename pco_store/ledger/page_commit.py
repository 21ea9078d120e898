"""A page's rows, what comes with them, links, checkpoints and fence check in one statement: one round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import LeaseLost
from pco_store.ledger.runs import RECEIPT_COLUMNS, PageReceipt, RunHandle
from pco_store.ledger.tables import PageRow
from pco_store.mirror.links import SharedList, link_cte, link_values, unlist_ctes
from pco_store.mirror.upsert import fetch, is_plain, page_text, plainly, upsert_ctes

COUNTED: Final = ("new", "changed", "unchanged", "stale")
"""What the upsert did; the rest of a checkpoint is what the receipt says of itself."""
_POSTGRES = dialect()  # type: ignore[no-untyped-call]
_RECEIVED: Final = tuple(name for name in RECEIPT_COLUMNS if name not in COUNTED)
_ARGUMENTS: Final = 3 + len(_RECEIVED)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageOfRows:
    """What a page brings of one kind: its rows, the `ids` it showed of it, and the receipt of that kind's run."""

    run: RunHandle
    table: Table
    rows: Sequence[Mapping[str, object]]
    receipt: PageReceipt
    ids: Sequence[str]


async def commit_page(
    connection: AsyncConnection,
    page: PageOfRows,
    brought: Sequence[PageOfRows] = (),
    *,
    completes_run: bool = False,
    shared: tuple[SharedList, datetime] | None = None,
) -> PageReceipt:
    """Upsert the rows as `upsert_rows` does, and record the page; its receipt with the counts of both.

    `brought` is what came with it of other kinds, whose runs are members of the page's. Where none of them has a row,
    as in most lists of a delta, no table of the mirror is looked at. `completes_run` says that nothing of the run is
    left after this page. `shared` is the list to which the records are linked, and when it was requested. All or
    nothing, also outside of a transaction. Raises `LeaseLost`, and has done nothing then, when the run is not ours any
    more.
    """
    kinds = (page, *brought)
    tables = tuple(one.table for one in kinds) if any(one.rows for one in kinds) else ()
    values = [value for one in kinds for value in _values(one, has_rows=bool(tables))]
    values += [page.run.fence, page.run.token, *([] if shared is None else link_values(page.ids, *shared))]
    for plain in (True, False) if tables and all(is_plain(one.rows) for one in kinds) else (False,):
        statement = _statement(tables, len(kinds), completes_run, is_shared=shared is not None, plain=plain)
        recorded = await fetch(connection, statement, *values)
        if recorded:
            return replace(page.receipt, **recorded[0])
    raise LeaseLost(page.run.key, page.run.fence)


def _values(one: PageOfRows, *, has_rows: bool) -> list[object]:
    rows = [page_text(one.rows)] if has_rows else []
    return [*rows, one.run.run_id, list(one.ids), *(getattr(one.receipt, name) for name in _RECEIVED)]


@lru_cache(maxsize=1024)
def _statement(tables: tuple[Table, ...], kinds: int, completes_run: bool, *, is_shared: bool, plain: bool) -> str:
    """For as many kinds; without tables none of them has a row, nor an argument for rows."""
    each = _ARGUMENTS if tables else _ARGUMENTS - 1
    first_run, last = (2 if tables else 1), kinds * each
    run_id, fence, token = f"${first_run}::bigint", f"${last + 1}::bigint", f"${last + 2}::uuid"
    held = f"run_id = {run_id} AND token = {token} AND fence = {fence} AND state = 'running'"
    if plain:
        held += f" AND {plainly(len(tables))}"
    ours = f"SELECT FROM sync.runs WHERE {held} FOR SHARE"
    if completes_run:
        completed = "state = 'completed', lease_until = now(), completed_at = now()"
        ours = f"UPDATE sync.runs SET {completed} WHERE {held} RETURNING run_id"  # noqa: S608 - own constants
    gate = "EXISTS (SELECT FROM ours)"
    links = ""
    if is_shared:
        links = f", {link_cte(last + 3, condition=gate)}"
        if completes_run:
            links += f", {unlist_ctes(last + 3, run_id, condition=gate)}"
    between = f"ours AS MATERIALIZED ({ours})"
    written = upsert_ctes(tables, gate=gate, between=between, each=each, plain=plain)
    received = ", ".join(f'"{name}"' for name in _RECEIVED)
    counted = ", ".join(COUNTED)
    pages = " UNION ALL ".join(
        _checkpoint(first_run + nth * each, fence, f"{counted} FROM counts{nth}" if tables else _NONE, gate)
        for nth in range(kinds)
    )
    return f"""
        WITH {written}{links},
        recorded AS (
            INSERT INTO sync.pages (run_id, ids, fence, {received}, {counted}) {pages}
            RETURNING run_id, {counted})
        SELECT {counted} FROM recorded WHERE run_id = {run_id}
        """  # noqa: S608 - names from the catalogue


_NONE: Final = ", ".join("0" for _ in COUNTED)


def _checkpoint(first: int, fence: str, counts: str, gate: str) -> str:
    received = ", ".join(f"${place}::{kind}" for place, kind in enumerate(_kinds(), start=first + 2))
    return f"SELECT ${first}::bigint, ${first + 1}::text[], {fence}, {received}, {counts} WHERE {gate}"


def _kinds() -> list[str]:
    columns = PageRow.metadata.tables[f"sync.{PageRow.__tablename__}"].columns
    return [columns[name].type.compile(dialect=_POSTGRES) for name in _RECEIVED]
