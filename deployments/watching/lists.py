"""Follow a flow run on the terminal until it is over."""

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from pco_client.redis_address import redis_address
from tasks.reports.progress import progress_key

LOOK_AT_REDIS: Final = 0.2
LOOK_AT_PREFECT: Final = 1.0
PATIENCE_FOR_A_WORKER: Final = 30.0
"""Seconds after which we ask whether there is a worker at all."""
PRINT_EVERY: Final = 30.0
"""Seconds between lines where the output is no terminal, so that a log shows progress too."""
ROOMY_WIDTH: Final = 100

WORDS: Final = {
    "running": "reading",
    "completed": "all pages are in, the run is closing",
    "stopped": "stopped, what was read stays",
}
"""The states of `tasks.reports.progress`, as they are told to a person."""


class _SyncProgress(Progress):
    """Two lines that fit 80 columns: what happens, and below it the bar with its numbers."""

    headline = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield Text(f"  {self.headline}", no_wrap=True, overflow="ellipsis")
        yield Padding(self.make_tasks_table(self.tasks), (0, 0, 0, 2), expand=False)


class _RestColumn(ProgressColumn):
    """How long the rest will take at the speed so far."""

    def render(self, task: Task) -> Text:
        pages, total, seconds = task.completed, task.total, float(task.fields["seconds"])
        done_here = pages - task.fields["began_with"]
        if not total or done_here <= 0:
            return Text("ETA --:--")
        rest = int((total - pages) * seconds / done_here)
        return Text(f"ETA {rest // 60:02d}:{rest % 60:02d}")


async def watch(
    flow_run_id: UUID, org_id: str, entity: str, console: Console, *, print_every: float = PRINT_EVERY
) -> FlowRun:
    """Show pages, rows, rate and remaining time; the flow run as it ended."""
    redis: Redis = Redis.from_url(redis_address(os.environ["PCO_SYNC_REDIS_URL"]), decode_responses=True)
    begun = printed = time.monotonic()
    try:
        async with get_client() as client:
            with _progress(console) as progress:
                bar = progress.add_task("", total=None, **_fields({}))
                while True:
                    run = await client.read_flow_run(flow_run_id)
                    is_over = run.state is not None and run.state.is_final()
                    for _ in range(round(LOOK_AT_PREFECT / LOOK_AT_REDIS)):
                        told = await _told(redis, flow_run_id, org_id, entity)
                        waited = time.monotonic() - begun
                        progress.headline = f"{entity} of {org_id}: {_what_happens(run, told, waited)}"
                        _move(progress, bar, told)
                        if is_over:
                            return run
                        await asyncio.sleep(LOOK_AT_REDIS)
                    if not console.is_terminal and time.monotonic() - printed >= print_every:
                        printed = time.monotonic()
                        console.print(
                            f"  {progress.headline}, {_fields(told)['pages']} pages", highlight=False, soft_wrap=True
                        )
    finally:
        await redis.aclose()


def _progress(console: Console) -> _SyncProgress:
    is_roomy = console.width >= ROOMY_WIDTH

    def words(text: str) -> TextColumn:
        return TextColumn(text, table_column=Column(no_wrap=True))

    return _SyncProgress(
        BarColumn(bar_width=28 if is_roomy else None),
        words("{task.fields[pages]} pages"),
        words("{task.fields[rows]:,} rows"),
        words("{task.fields[rate]:,.0f} rows/s"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _RestColumn(table_column=Column(no_wrap=True)),
        console=console,
        expand=not is_roomy,
    )


async def _told(redis: Redis, flow_run_id: UUID, org_id: str, entity: str) -> dict[str, str]:
    """What this flow run tells about its progress; nothing while it has not begun, or Redis is away."""
    try:
        told: dict[str, str] = await redis.hgetall(progress_key(org_id, entity))  # type: ignore[assignment]
    except (RedisError, OSError):
        return {}
    return told if told.get("flow_run_id") == str(flow_run_id) else {}


def _what_happens(run: FlowRun, told: dict[str, str], waited: float) -> str:
    state = run.state
    if state is not None and state.is_final():
        return (state.name or state.type.value).lower()
    if told:
        return WORDS.get(told["state"], told["state"])
    if state is not None and state.is_running():
        return "starting"
    if waited < PATIENCE_FOR_A_WORKER:
        return "waiting for the worker"
    return "waiting for a worker; is one running? `make worker` starts one"


def _move(progress: Progress, bar: Any, told: dict[str, str]) -> None:
    if told:
        total = int(told["total_pages"] or 0)
        progress.update(bar, completed=int(told["pages"]), total=total or None, **_fields(told))


def _fields(told: dict[str, str]) -> dict[str, Any]:
    pages, total = int(told.get("pages", 0)), int(told.get("total_pages") or 0)
    return {
        "pages": f"{pages:,}/{total:,}" if total else f"{pages:,}/?",
        "rows": int(told.get("rows", 0)),
        "rate": float(told.get("rows_per_second", 0)),
        "seconds": float(told.get("seconds", 0)),
        "began_with": int(told.get("began_with_pages", 0)),
    }
