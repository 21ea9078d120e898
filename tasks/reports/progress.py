"""How far a sync is: in Redis for programs, as a progress artifact for people. Best effort, rebuilt from the ledger."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.exceptions import PrefectHTTPStatusError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from pco_client.redis_trouble import redis_trouble
from pco_walks.part_walks import PartWalks
from tasks.background import interrupt
from tasks.logs import sync_logger
from tasks.pages.sync_context import SyncContext
from tasks.reports.artifacts import artifact_key

PROGRESS: Final = "sync-progress:"
"""What the keys begin with."""
REDIS_SECONDS: Final = 0.25
ARTIFACT_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 7 * 24 * 3600


def progress_key(org_id: str, entity: str) -> str:
    """Where a sync's progress stands in Redis, as a hash."""
    return f"{PROGRESS}{org_id}:{entity}"


@dataclass(kw_only=True)
class ProgressReport:
    """Reads the walks and the tally, and tells others; with `only_long_lists` of lists of several pages only."""

    sync: SyncContext
    walks: PartWalks
    redis: Redis
    flow_run_id: str
    started: float
    only_long_lists: bool = False
    _artifact: UUID | None = None
    _redis_is_away: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is to be told."""
        return not self.only_long_lists or (self.walks.page_count or 0) > 1

    def snapshot(self, state: str) -> dict[str, str]:
        """The progress in numbers."""
        tally = self.sync.tally
        done_before = self.sync.committed.values()
        pages = len(done_before) + tally.pages
        total_pages = self.walks.page_count
        seconds = time.monotonic() - self.started
        return {
            "state": state,
            "epoch": self.sync.run.epoch,
            "flow_run_id": self.flow_run_id,
            "began_with_pages": str(len(done_before)),
            "pages": str(pages),
            "total_pages": "" if total_pages is None else str(max(total_pages, pages)),
            "rows": str(sum(one.rows for one in done_before) + tally.rows),
            "rows_per_second": f"{tally.rows / seconds if seconds > 0 else 0:.1f}",
            "retries": str(tally.retries),
            "quarantined": str(tally.quarantined),
            "waited_seconds": f"{tally.waited_seconds:.1f}",
            "seconds": f"{seconds:.1f}",
        }

    async def tell_redis(self, state: str) -> None:
        """Write the snapshot; a Redis that is away costs a line in the log, not the sync."""
        if not self.is_wanted:
            return
        run = self.sync.run
        key = progress_key(run.org_id, run.entity)
        fields: dict[Any, Any] = {**self.snapshot(state)}
        try:
            async with self.redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(key, mapping=fields)
                pipeline.expire(key, KEPT_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            if not self._redis_is_away:
                sync_logger().warning("progress is not shown for now: %s", redis_trouble(error).words)
            self._redis_is_away = True
        else:
            self._redis_is_away = False

    async def tell_prefect(self) -> None:
        """Create or update the progress artifact of this flow run."""
        if not self.is_wanted:
            return
        run = self.sync.run
        told = self.snapshot("running")
        total = int(told["total_pages"] or 0)
        percent = 100.0 * int(told["pages"]) / total if total else 0.0
        description = f"{run.entity} of {run.org_id}: page {told['pages']} of {told['total_pages'] or '?'}"
        try:
            if self._artifact is None:
                key = artifact_key("progress", run.org_id, run.entity)
                self._artifact = await acreate_progress_artifact(percent, key=key, description=description)
            else:
                await aupdate_progress_artifact(self._artifact, percent, description=description)
        except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
            sync_logger().debug("the progress artifact was not written (%s)", type(error).__name__)

    async def keep_telling(self) -> None:
        """Tell until cancelled."""
        told_prefect = 0.0
        while True:
            await self.tell_redis("running")
            if time.monotonic() - told_prefect >= ARTIFACT_SECONDS:
                told_prefect = time.monotonic()
                await self.tell_prefect()
            await asyncio.sleep(REDIS_SECONDS)


@asynccontextmanager
async def shown(report: ProgressReport) -> AsyncIterator[None]:
    """Progress is told while the block runs, and once more at its end."""
    teller = asyncio.create_task(report.keep_telling(), name="progress")
    try:
        yield
    except BaseException:
        await interrupt(teller)
        await report.tell_redis("stopped")
        raise
    await interrupt(teller)
    await asyncio.gather(report.tell_redis("completed"), report.tell_prefect())
