"""Keeps the lease of a run while it is worked on, and ends the work when the run was taken over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pco_store.errors import LeaseLost, StoreUnavailable
from pco_store.ledger.leases import RunLease
from tasks.background import interrupt
from tasks.logs import sync_logger


@asynccontextmanager
async def lease_kept(lease: RunLease) -> AsyncIterator[None]:
    """The lease is renewed while the block runs. Raises `LeaseLost` out of the block when somebody took over."""
    worker = asyncio.current_task()
    assert worker is not None
    lost: list[LeaseLost] = []

    async def keep() -> None:
        while True:
            await asyncio.sleep(lease.lease_seconds / 3)
            try:
                await lease.renew()
            except StoreUnavailable as error:
                sync_logger().warning("the lease of %s could not be renewed: %s", lease.run.key, error)
            except LeaseLost as error:
                lost.append(error)
                worker.cancel()
                return

    keeper = asyncio.create_task(keep(), name="lease")
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            worker.uncancel()
            raise lost[0] from None
        raise
    finally:
        await interrupt(keeper)
        try:
            await lease.release()
        except StoreUnavailable:
            sync_logger().debug("the session lock of %s ended with its connection", lease.run.key)
