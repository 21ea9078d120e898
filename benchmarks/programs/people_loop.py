"""One page of people, as one writes it by hand: fetch, parse, one upsert statement. No checkpoint, no retry, no limit.

It is meant to be as good as such code gets: kept connections, orjson, prepared statement, one statement for a page.
It fills the same columns as our table but the content hash, and overwrites without asking which version is newer.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import httpx
import orjson

from pco_catalog.catalog import load_catalog
from pco_store.mirror.tables import mirror_table

TABLE = "people.person_by_hand"
PAGE_SIZE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What one page said: its rows, and where the collection goes on."""

    rows: int
    next_offset: int | None
    total_count: int


@dataclass(frozen=True, kw_only=True)
class PeopleLoop:
    """The connections and the statement that all pages share."""

    http: httpx.AsyncClient
    pool: Any
    statement: str
    attributes: Sequence[tuple[str, Callable[[Any], Any] | None]]
    edges: Sequence[str]

    async def store_page(self, offset: int) -> Stored:
        """Fetch the page at `offset` and upsert its rows."""
        now = datetime.now(UTC)
        answer = await self.http.get("/people/v2/people", params={"per_page": PAGE_SIZE, "offset": offset})
        answer.raise_for_status()
        document = orjson.loads(answer.content)
        people = document["data"]
        await self.pool.execute(self.statement, *self._columns(people, now))
        meta = document["meta"]
        return Stored(rows=len(people), next_offset=meta.get("next", {}).get("offset"), total_count=meta["total_count"])

    def _columns(self, people: list[dict[str, Any]], now: datetime) -> list[list[Any]]:
        values = [one["attributes"] for one in people]
        columns: list[list[Any]] = [["org"] * len(people), [one["id"] for one in people]]
        for name, convert in self.attributes:
            if convert is None:
                columns.append([value.get(name) for value in values])
            else:
                columns.append([None if (it := value.get(name)) is None else convert(it) for value in values])
        for name in self.edges:
            edges = [one["relationships"].get(name) for one in people]
            columns.append([edge["data"]["id"] if edge and edge["data"] else None for edge in edges])
        known = {name for name, _ in self.attributes}
        columns.append([json.dumps({k: v for k, v in one.items() if k not in known}) for one in values])
        columns.append([now] * len(people))
        columns.append(["by-hand"] * len(people))
        return columns


@asynccontextmanager
async def people_loop(*, in_flight: int) -> AsyncIterator[PeopleLoop]:
    """Everything opened, and the table made, for the block."""
    entity = load_catalog().entity("people.Person")
    table = mirror_table(entity)
    edges = [name for name, one in entity.relationships.items() if not one.many]
    types = {column.name: str(column.type) for column in table.columns}
    attributes = [(name, _CONVERTERS.get(types[name])) for name in entity.attributes if name != "id"]
    names = ["org_id", "id", *(name for name, _ in attributes), *(f"{name}_id" for name in edges)]
    names += ["extra", "_synced_at", "_epoch"]
    pool = await asyncpg.create_pool(os.environ["PCO_SYNC_DATABASE_URL"], min_size=in_flight, max_size=in_flight)
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with (
        pool,
        httpx.AsyncClient(
            base_url=os.environ["PCO_SYNC_PCO_BASE_URL"],
            auth=(os.environ["PCO_SYNC_APPLICATION_ID"], os.environ["PCO_SYNC_SECRET"]),
            timeout=60,
            limits=limits,
        ) as http,
    ):
        await pool.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (LIKE people.person INCLUDING ALL)")
        await pool.execute(f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS _content_hash")
        yield PeopleLoop(
            http=http,
            pool=pool,
            statement=_statement(names, [types[name] for name in names]),
            attributes=attributes,
            edges=edges,
        )


def _statement(names: Sequence[str], types: Sequence[str]) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    arrays = ", ".join(f"${number}::{_SQL_TYPES.get(kind, kind)}[]" for number, kind in enumerate(types, start=1))
    selected = ", ".join(
        f'page."{name}"' + ("::jsonb" if kind == "JSONB" else "") for name, kind in zip(names, types, strict=True)
    )
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in ("org_id", "id"))
    return (
        f"INSERT INTO {TABLE} ({columns}) SELECT {selected} FROM unnest({arrays}) AS page ({columns}) "
        f"ON CONFLICT (org_id, id) DO UPDATE SET {updates}"
    )


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


_SQL_TYPES = {"DATETIME": "timestamptz", "JSONB": "text"}
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "DATETIME": datetime.fromisoformat,
    "DATE": date.fromisoformat,
    "JSONB": _to_json,
}
