"""Follows the merges that PCO tells of, whichever of the two lists has just been read."""

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.mergers import mergers_about
from pco_store.merges import follow_mergers
from pco_store.tables import mirror_table


async def follow_merges(connection: AsyncConnection, *, org_id: str, entity: str) -> int:
    """Mark the records that were merged into others, by what the mirror knows; how many were marked. Safe to repeat.

    PCO itself says that they are gone, so nobody has to ask for them.
    """
    catalog = load_catalog()
    marked = 0
    for merger in mergers_about(entity):
        marked += await follow_mergers(
            connection,
            org_id=org_id,
            of=mirror_table(catalog.entity(merger.of)),
            told_by=mirror_table(catalog.entity(merger.told_by)),
            kept=merger.kept,
            removed=merger.removed,
        )
    return marked
