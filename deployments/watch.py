"""Follow a flow run on the terminal until it is over."""

import asyncio
import os
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from tasks.progress import progress_key

LOOK_AT_REDIS = 0.2
LOOK_AT_PREFECT = 1.0


class _RestColumn(ProgressColumn):
    """How long the rest will take at the speed so far."""

    def render(self, task: Task) -> Text:
        pages, total, seconds = task.completed, task.total, float(task.fields["seconds"])
        done_here = pages - task.fields["began_with"]
        if not total or done_here <= 0:
            return Text("ETA --:--")
        rest = int((total - pages) * seconds / done_here)
        return Text(f"ETA {rest // 60:02d}:{rest % 60:02d}")


async def watch(flow_run_id: UUID, org_id: str, entity: str, console: Console) -> FlowRun:
    """Show pages, rows, rate and remaining time; the flow run as it ended."""
    redis: Redis = Redis.from_url(os.environ["PCO_SYNC_REDIS_URL"], decode_responses=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[pages]} pages"),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeElapsedColumn(),
        _RestColumn(),
    )
    fields: dict[str, Any] = {"pages": "0", "rows": 0, "rate": 0.0, "seconds": 0.0, "began_with": 0}
    try:
        async with get_client() as client:
            with Progress(*columns, console=console, transient=False) as progress:
                bar = progress.add_task(f"{entity}: waiting for a worker", total=None, **fields)
                while True:
                    run = await client.read_flow_run(flow_run_id)
                    is_over = run.state is not None and run.state.is_final()
                    for _ in range(round(LOOK_AT_PREFECT / LOOK_AT_REDIS)):
                        await _show(progress, bar, redis, flow_run_id, org_id, entity)
                        if is_over:
                            return run
                        await asyncio.sleep(LOOK_AT_REDIS)
    finally:
        await redis.aclose()


async def _show(progress: Progress, bar: int, redis: Redis, flow_run_id: UUID, org_id: str, entity: str) -> None:
    try:
        told: dict[str, str] = await redis.hgetall(progress_key(org_id, entity))  # type: ignore[assignment]
    except (RedisError, OSError):
        return
    if told.get("flow_run_id") != str(flow_run_id):
        return
    total = int(told["total_pages"] or 0)
    progress.update(
        bar,  # type: ignore[arg-type]
        description=f"{entity}: {told['state']}",
        completed=int(told["pages"]),
        total=total or None,
        pages=f"{told['pages']}/{total or '?'}",
        rows=int(told["rows"]),
        rate=float(told["rows_per_second"]),
        seconds=float(told["seconds"]),
        began_with=int(told["began_with_pages"]),
    )
