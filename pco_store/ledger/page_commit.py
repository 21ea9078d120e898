"""A page's rows, links, checkpoint and fence check in one statement: one way to the database and back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import LeaseLost
from pco_store.ledger.runs import PageReceipt, RunHandle, digest_of
from pco_store.mirror.links import SharedList, link_cte, link_values, unlist_ctes
from pco_store.mirror.upsert import PLAIN, fetch, is_plain, page_text, upsert_ctes

CHECKPOINT: Final = (
    ("part", "integer"),
    ("reading", "integer"),
    ("offset", "bigint"),
    ("page_size", "integer"),
    ("rows", "integer"),
    ("misfits", "integer"),
    ("quarantined", "integer"),
    ("next_offset", "bigint"),
    ("total_count", "bigint"),
    ("requests", "integer"),
    ("waited_seconds", "double precision"),
    ("reached", "boolean"),
    ("seen_before", "integer"),
)
"""What the receipt says of itself; the other counts come from what the upsert did."""


async def commit_page(
    connection: AsyncConnection,
    run: RunHandle,
    table: Table,
    rows: Sequence[Mapping[str, object]],
    receipt: PageReceipt,
    ids: Sequence[str],
    *,
    completes_run: bool = False,
    shared: tuple[SharedList, datetime] | None = None,
) -> PageReceipt:
    """Upsert the rows as `upsert_rows` does, and record the page; the receipt with the counts of both.

    `completes_run` says that nothing of the run is left after this page. `shared` is the list to which the records are
    linked, and when it was requested. All or nothing, also outside of a transaction. Raises `LeaseLost`, and has done
    nothing then, when the run is not ours any more. The page of a member belongs in the transaction of its list's page,
    behind that one, which has checked the fence.
    """
    page = page_text(rows)
    own = [getattr(receipt, name) for name, _ in CHECKPOINT]
    links = [] if shared is None else link_values(ids, *shared)
    own_values = [run.run_id, run.fence, list(ids), digest_of(ids), *own]
    for plain in (True, False) if is_plain(rows) else (False,):
        statement = _statement(
            table, completes_run, is_shared=shared is not None, is_member=run.read_with is not None, plain=plain
        )
        recorded = await fetch(connection, statement, page, *own_values, *links)
        if recorded:
            return replace(receipt, **recorded[0])
    raise LeaseLost(run.key, run.fence)


@lru_cache(maxsize=1024)
def _statement(table: Table, completes_run: bool, *, is_shared: bool, is_member: bool, plain: bool) -> str:
    run_id, fence, ids, digest = (f"${number}" for number in range(2, 6))
    own = ", ".join(f"${place}::{kind}" for place, (_, kind) in enumerate(CHECKPOINT, start=6))
    names = ", ".join(f'"{name}"' for name, _ in CHECKPOINT)
    held = f"run_id = {run_id}::bigint AND fence = {fence}::bigint" + ("" if is_member else " AND state = 'running'")
    if plain:
        held += f" AND {PLAIN}"
    completed = "state = 'completed', lease_until = now(), completed_at = now()"
    ours = f"UPDATE sync.runs SET {completed} WHERE {held} RETURNING run_id"  # noqa: S608 - own constants
    if not completes_run:
        ours = f"SELECT FROM sync.runs WHERE {held}" + ("" if is_member else " FOR SHARE")
    links = ""
    if is_shared:
        first = 6 + len(CHECKPOINT)
        links = f", {link_cte(first, condition='EXISTS (SELECT FROM ours)')}"
        if completes_run:
            links += f", {unlist_ctes(first, f'{run_id}::bigint', condition='EXISTS (SELECT FROM ours)')}"
    gate = f"ours AS MATERIALIZED ({ours}),"
    return f"""
        WITH {upsert_ctes(table, condition="EXISTS (SELECT FROM ours)", gate=gate, plain=plain)}{links}
        INSERT INTO sync.pages (run_id, fence, ids, digest, new, changed, unchanged, stale, {names})
        SELECT {run_id}::bigint, {fence}::bigint, {ids}::text[], {digest}::bytea, new, changed, unchanged, stale, {own}
        FROM counts WHERE EXISTS (SELECT FROM ours)
        RETURNING new, changed, unchanged, stale
        """  # noqa: S608 - names from the catalogue
