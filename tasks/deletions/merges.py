"""Follows the merges that PCO tells of, whichever of the two lists has just been read."""

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.mergers import mergers_about
from pco_store.ledger.runs import RunHandle
from pco_store.mirror.merges import follow_mergers
from pco_store.mirror.tables import mirror_table
from tasks.lifespan import Resources
from tasks.patience import patiently


async def follow_merges(resources: Resources, run: RunHandle) -> int:
    """Mark the records that were merged into others, by what the mirror knows; how many were marked. Safe to repeat.

    PCO itself says that they are gone, so nobody has to ask for them. Raises `StoreUnavailable` in the end.
    """
    mergers, catalog = mergers_about(run.entity), load_catalog()
    if not mergers:
        return 0

    async def follow(connection: AsyncConnection) -> int:
        marked = 0
        for merger in mergers:
            marked += await follow_mergers(
                connection,
                org_id=run.org_id,
                of=mirror_table(catalog.entity(merger.of)),
                told_by=mirror_table(catalog.entity(merger.told_by)),
                kept=merger.kept,
                removed=merger.removed,
            )
        return marked

    return await patiently(resources, follow)
