"""The parent's part in running its children: it submits while it reads, and may wait until all are done."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from pco_store.errors import StoreUnavailable
from pco_store.ledger.fan_out.fan_outs import count_children
from pco_store.ledger.runs import RunHandle
from tasks.background import interrupt
from tasks.fan_out.submitting import submit_more, submit_unanswered
from tasks.lifespan import Resources
from tasks.logs import sync_logger

LOOK_SECONDS: Final = 0.5
COUNT_SECONDS: Final = 1.0
TELL_SECONDS: Final = 15.0


@dataclass(kw_only=True)
class Submitted:
    """How many flow runs were made."""

    count: int = 0


@asynccontextmanager
async def keep_submitting(resources: Resources, root: RunHandle) -> AsyncIterator[Submitted]:
    """Children are submitted as soon as they are written down, while the block runs."""
    submitted = Submitted()
    enough = asyncio.Event()
    task = asyncio.create_task(_keep(resources, root, submitted, enough), name="submitting")
    try:
        yield submitted
    except BaseException:
        await interrupt(task)
        raise
    finally:  # not cancelled in the middle of a submission, if it can be helped: that one would have to be repeated
        enough.set()
        await asyncio.gather(task, return_exceptions=True)


async def wait_for_children(resources: Resources, root: RunHandle) -> None:
    """Push the children on until none is left to be run."""
    told = time.monotonic()
    while True:
        try:
            await submit_more(resources, root)
            await submit_unanswered(resources, root)
            async with resources.database.transaction() as connection:
                counts = await count_children(connection, root.run_id)
        except StoreUnavailable as error:
            sync_logger().warning("waiting for the ledger: %s", error)
        else:
            if counts.is_over:
                return
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                sync_logger().info(
                    "%d of %d children are done, %d under way, %d dead",
                    counts.done,
                    counts.children,
                    counts.submitted + counts.running,
                    counts.dead,
                )
        await asyncio.sleep(COUNT_SECONDS)


async def _keep(resources: Resources, root: RunHandle, submitted: Submitted, enough: asyncio.Event) -> None:
    while not enough.is_set():
        try:
            submitted.count += await submit_more(resources, root)
        except StoreUnavailable as error:
            sync_logger().warning("nothing was submitted: %s", error)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await enough.wait()
