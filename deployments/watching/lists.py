"""The sync of one list on the terminal: its pages, rows, rate and remaining time."""

from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from deployments.watching.followed import GOES_ON, Followed
from deployments.watching.following import Look
from tasks.reports.counted import counted
from tasks.reports.progress import progress_key

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


class ListLook:
    """The look of a list's sync, whichever flow run reads it."""

    def __init__(self, followed: Followed, redis: Redis, console: Console) -> None:
        self._followed, self._redis = followed, redis
        self._progress = _progress(console)
        self._bar = self._progress.add_task("", total=None, **_fields({}))

    async def look(self, seconds: float) -> Look:
        """What is read of it."""
        followed, progress = self._followed, self._progress
        is_over = await followed.look(seconds)
        told = await self._told()
        progress.headline = f"{followed.entity} of {followed.org_id}: {_what_happens(followed, told)}"
        if told:
            total = int(told["total_pages"] or 0)
            progress.update(self._bar, completed=int(told["pages"]), total=total or None, **_fields(told))
        line = f"{progress.headline}, {_fields(told)['pages']}"
        return Look(line=line, shown=progress.get_renderable(), is_over=is_over)

    async def _told(self) -> dict[str, str]:
        """The progress of the flow run that is at it; nothing while none has begun, or Redis is away."""
        run = self._followed.run or self._followed.others
        if run is None:
            return {}
        key = progress_key(run.org_id, run.entity)
        try:
            told: dict[str, str] = await self._redis.hgetall(key)  # type: ignore[assignment]
        except (RedisError, OSError):
            return {}
        return told if told.get("flow_run_id") == run.flow_run_id else {}


def _what_happens(followed: Followed, told: dict[str, str]) -> str:
    run, flow_run = followed.run or followed.others, followed.flow_run
    if run is None:
        return flow_run.told
    if run.state not in GOES_ON:
        return run.state
    words = WORDS.get(told["state"], told["state"]) if told else "starting"
    return words if run.flow_run_id == str(flow_run.flow_run.id) else f"{words}, by another flow run"


def _progress(console: Console) -> _SyncProgress:
    is_roomy = console.width >= ROOMY_WIDTH

    def words(text: str) -> TextColumn:
        return TextColumn(text, table_column=Column(no_wrap=True))

    return _SyncProgress(
        BarColumn(bar_width=28 if is_roomy else None),
        words("{task.fields[pages]}"),
        words("{task.fields[rows]}"),
        words("{task.fields[rate]:,.0f} rows/s"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _RestColumn(table_column=Column(no_wrap=True)),
        console=console,
        expand=not is_roomy,
    )


def _fields(told: dict[str, str]) -> dict[str, Any]:
    pages, total = int(told.get("pages", 0)), int(told.get("total_pages") or 0)
    return {
        "pages": f"{pages:,}/{counted(total, 'page')}" if total else f"{pages:,}/? pages",
        "rows": counted(int(told.get("rows", 0)), "row"),
        "rate": float(told.get("rows_per_second", 0)),
        "seconds": float(told.get("seconds", 0)),
        "began_with": int(told.get("began_with_pages", 0)),
    }
