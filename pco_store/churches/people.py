"""People by whom a church is recognised: another church's credential does not show them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_store.mirror.tables import mirror_table, quoted_name


async def some_people(connection: AsyncConnection, org_id: str, *, most: int) -> list[str]:
    """The ids of people of the church who were there when they were last looked for, the oldest first; none if it has
    none, or the database has no table of them yet.
    """
    if await connection.scalar(text("SELECT to_regclass('people.person')")) is None:
        return []
    found = await connection.scalars(
        text(
            f"SELECT id FROM {quoted_name(mirror_table(load_catalog().entity('people.Person')))} "  # noqa: S608 - from the catalogue
            "WHERE org_id = :org_id AND _deleted_at IS NULL ORDER BY length(id), id LIMIT :most"
        ),
        {"org_id": org_id, "most": most},
    )
    return list(found)
