"""`quarantine`: list what could not be stored or fetched."""

import os
from collections.abc import AsyncIterator
from typing import Any, Final

from rich.console import Console

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.operations.churches import check_church
from deployments.terminal import print_plain
from pco_store.database import Database
from pco_store.ledger.quarantine.items import OpenItem, list_quarantined

AT_ONCE: Final = 200


async def show_quarantine(org_id: str, entity: str | None, console: Console, *, as_json: bool) -> int:
    """Every open item of a church, oldest first; never its raw record. Raises `UnknownChurchError`."""
    documents: list[dict[str, Any]] = []
    shown = 0
    async for item in _open_items(org_id, entity):
        shown += 1
        if as_json:
            documents.append(_facts(item))
        else:
            print_plain(console, _told(item))
    if as_json:
        print_document({"org_id": org_id, "open": shown, "items": documents})
    else:
        console.print(f"{shown} open in the quarantine of {org_id}", highlight=False)
    return DONE


async def _open_items(org_id: str, entity: str | None) -> AsyncIterator[OpenItem]:
    after = 0
    async with Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1) as database:
        async with database.transaction() as connection:
            await check_church(connection, org_id)
        while True:
            async with database.transaction() as connection:
                items = await list_quarantined(connection, org_id, entity, after=after, limit=AT_ONCE)
            for item in items:
                yield item
            if len(items) < AT_ONCE:
                return
            after = items[-1].quarantine_id


def _told(item: OpenItem) -> str:
    what = f"record {item.record_id}" if item.record_id is not None else f"the record at offset {item.offset}"
    since = f"since {item.observed_at:%Y-%m-%d %H:%M:%S %Z}"
    return f"{item.quarantine_id}  {item.entity}  {what}  {since}  {item.reason}"


def _facts(item: OpenItem) -> dict[str, Any]:
    """An item for a program; without the raw record, which is the church's own."""
    return {
        "quarantine_id": item.quarantine_id,
        "entity": item.entity,
        "epoch": item.epoch,
        "scope": item.scope,
        "offset": item.offset,
        "record_id": item.record_id,
        "reason": item.reason,
        "observed_at": item.observed_at.isoformat(),
    }
