"""Records, rows and what stands in the mirror, for tests of the store."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, select

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import UpsertCounts, upsert_rows
from tasks.rows.transform import transform_page

PERSON = load_catalog().entity("people.Person")
PEOPLE = mirror_table(PERSON)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(hours: float) -> datetime:
    """So many hours after Monday's midnight."""
    return MONDAY + timedelta(hours=hours)


def person(identity: object, *, updated: float | None = 0, **attributes: Any) -> Mapping[str, Any]:
    """A person as PCO renders it, last changed so many hours after Monday's midnight."""
    changed = {} if updated is None else {"updated_at": at(updated).isoformat().replace("+00:00", "Z")}
    return {"type": "Person", "id": str(identity), "attributes": {**attributes, **changed}}


def rows(*records: Mapping[str, Any], observed: float = 0, org_id: str = "grace") -> list[dict[str, object]]:
    """The rows of these people, shown by a request that was sent so many hours after Monday's midnight."""
    page = transform_page(records, entity=PERSON, org_id=org_id, epoch="turn-1", observed_at=at(observed))
    assert not page.rejected
    return page.rows


async def upsert(
    database: Database, page: Iterable[Mapping[str, object]], *, table: Table = PEOPLE
) -> tuple[int, int, int, int]:
    """Upsert in a transaction; how many rows were new, changed, unchanged, stale."""
    async with database.transaction() as connection:
        counts: UpsertCounts = await upsert_rows(connection, table, list(page))
    return counts.new, counts.changed, counts.unchanged, counts.stale


async def stored(database: Database, *, table: Table = PEOPLE, org_id: str = "grace") -> dict[str, Any]:
    """What stands in the table, by id."""
    async with database.transaction() as connection:
        found = await connection.execute(select(table).where(table.c.org_id == org_id))
        return {row.id: row for row in found}
