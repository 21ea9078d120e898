"""Mirrors records without any sync, and reads views, for tests of what SQL people get."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import upsert_rows
from tasks.rows.transform import transform_page
from tests.integration.mirror import at


def resource(
    kind: str, identity: str, attributes: Mapping[str, Any], links: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A record as PCO renders it; `links` are relationships, to (type, id) or to a list of them."""
    return {
        "type": kind,
        "id": identity,
        "attributes": dict(attributes),
        "relationships": {name: {"data": _pointer(one)} for name, one in (links or {}).items()},
    }


def _pointer(link: Any) -> Any:
    if isinstance(link, list):
        return [_pointer(one) for one in link]
    return {"type": link[0], "id": link[1]}


async def mirror(
    database: Database,
    entity_name: str,
    *records: Mapping[str, Any],
    org_id: str = "grace",
    below: Mapping[str, str] | None = None,
) -> None:
    """Write records as a sync does that read them below these parents."""
    entity = load_catalog().entity(entity_name)
    page = transform_page(records, entity=entity, org_id=org_id, epoch="turn-1", observed_at=at(0), parents=below or {})
    assert not page.rejected
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        await upsert_rows(connection, mirror_table(entity), page.rows)


async def select(database: Database, statement: str, **values: Any) -> list[dict[str, Any]]:
    """The rows of a query."""
    async with database.transaction() as connection:
        found = await connection.execute(text(statement), values)
        return [dict(row._mapping) for row in found] if found.returns_rows else []


async def views(database: Database) -> Sequence[str]:
    """All views of the products' schemas."""
    found = await select(
        database,
        "SELECT schemaname || '.' || viewname AS name FROM pg_views "
        "WHERE schemaname !~ '^(pg_|information_schema|sync)' ORDER BY 1",
    )
    return [str(row["name"]) for row in found]
