"""A run of the ledger as a walk: what was committed is replayed, the rest is read."""

from collections.abc import Callable

from prefect.context import TagsContext

from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_store.ledger import RunHandle, committed_pages
from pco_store.tables import mirror_table
from tasks.collection import read_collection, reading_of
from tasks.lifespan import Resources
from tasks.page_processing import PageProcessing
from tasks.sync_context import Spawn, SyncContext, entered
from tasks.walk import Walk
from tasks.window import Window


async def begin_walk(
    resources: Resources,
    client: PcoClient,
    run: RunHandle,
    entity: Entity,
    *,
    path: str,
    in_flight: int,
    spawn: Spawn | None = None,
    is_new: bool = False,
    on_completing: Callable[[bool], None] | None = None,
) -> tuple[SyncContext, Walk]:
    """The walk of a run that is ours, as far as earlier executions came; a run that `is_new` has no earlier ones."""
    committed = []
    if not is_new:
        async with resources.database.transaction() as connection:
            committed = await committed_pages(connection, run)
    window = Window(attribute=run.window.attribute, since=run.window.since, until=run.window.until)
    sync = SyncContext(
        run=run,
        entity=entity,
        path=path,
        table=mirror_table(entity),
        window=window,
        client=client,
        database=resources.database,
        in_flight=in_flight,
        spawn=spawn,
        on_completing=on_completing,
        committed={(one.reading, one.offset, one.page_size): one for one in committed},
    )
    walk = Walk(page_size=run.page_size, bounded=window.is_bounded)
    walk.replay(reading_of(receipt) for receipt in committed)
    return sync, walk


async def finish_walk(walk: Walk, sync: SyncContext, processing: PageProcessing) -> None:
    """Read what is left. The first error that is not one page's own fault is raised.

    The tags of the flow run are not repeated on every page's task run.
    """
    with entered(sync), TagsContext(current_tags=set()):
        await read_collection(walk, sync, processing=processing)
