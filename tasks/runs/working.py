"""Works on a run: opened as requested, held while the block runs, and closed in the ledger if the block raises."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pco_store.ledger.leases import RunLease
from pco_store.ledger.openings import NotOpened, RunRequest
from pco_store.ledger.runs import RunHandle
from tasks.lifespan import Resources
from tasks.runs.holding import lease_kept
from tasks.runs.opening import close_unfinished, opened_run


@asynccontextmanager
async def working(resources: Resources, request: RunRequest) -> AsyncIterator[RunLease | NotOpened]:
    """The lease of the run if it is ours, else why it was not opened.

    The block completes the run. If it raises, nobody works on the run any more, nor on those beside it. Raises
    `PlanDiffers`, `StoreUnavailable`, and `LeaseLost` out of the block when somebody took over.
    """
    opened, lease = await opened_run(resources, request)
    if isinstance(opened, NotOpened):
        yield opened
        return
    assert lease is not None, "what is opened is held"
    async with lease_kept(lease):
        try:
            yield lease
        except BaseException as error:
            await close_unfinished(resources.database, lease.run, error, beside=lease.beside)
            raise


@asynccontextmanager
async def working_beside(resources: Resources, lease: RunLease, run: RunHandle) -> AsyncIterator[None]:
    """The same for a run that was opened beside that of `lease`, and is held with it."""
    try:
        yield
    except BaseException as error:
        await close_unfinished(resources.database, run, error)
        raise
    finally:
        lease.let_go(run)
