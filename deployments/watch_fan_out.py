"""Follow a fan-out on the terminal, by the ledger, until no child is left to be run."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import text

from pco_store.database import Database
from pco_store.fan_outs import FanOutCounts, count_children, find_fan_out

LOOK_SECONDS: Final = 0.4
PRINT_EVERY: Final = 15.0
"""Seconds between lines where the output is no terminal."""
BAR_WIDTH: Final = 28


@dataclass(frozen=True, kw_only=True)
class FanOutView:
    """What is shown: the children, and the pages and rows that they have committed."""

    counts: FanOutCounts
    pages: int
    rows: int
    seconds: float

    @property
    def done(self) -> int:
        """Children that need not be run any more."""
        counts = self.counts
        return counts.completed + counts.absent + counts.forbidden + counts.cancelled + counts.dead

    @property
    def state(self) -> str:
        """In words for who waits; that the end is not written down yet is no news."""
        if self.counts.state == "awaiting":
            return "all children are done" if self.counts.is_over else "its children run"
        return "reading the parents" if self.counts.state == "running" else self.counts.state

    @property
    def told(self) -> str:
        """In one line, within 80 columns."""
        counts = self.counts
        parts = [f"{self.done:,}/{counts.children:,} children", f"{counts.submitted + counts.running} under way"]
        parts += [f"{self.pages:,} pages", f"{self.rows:,} rows", f"{self.done / max(self.seconds, 0.001):.1f}/s"]
        if counts.dead:
            parts.append(f"{counts.dead} dead")
        if counts.quarantined:
            parts.append(f"{counts.quarantined} in quarantine")
        return "  ".join(parts)


async def watch_fan_out(
    key: str,
    console: Console,
    *,
    on_view: Callable[[FanOutView], None] = lambda _: None,
    print_every: float = PRINT_EVERY,
) -> FanOutView:
    """Show the children of the fan-out `key` until all are done; `on_view` is called with every look."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    begun = printed = time.monotonic()
    try:
        with Live(Text(f"  {key}: waiting for a worker"), console=console, auto_refresh=False) as live:
            while True:
                view = await _look(database, key, begun)
                if view is not None:
                    on_view(view)
                    live.update(_shown(key, view), refresh=True)
                    if view.counts.is_over:
                        return view
                if not console.is_terminal and time.monotonic() - printed >= print_every:
                    printed = time.monotonic()
                    told = "waiting for a worker" if view is None else view.told
                    console.print(f"  {key}: {told}", highlight=False, soft_wrap=True)
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await database.aclose()


async def _look(database: Database, key: str, begun: float) -> FanOutView | None:
    async with database.transaction() as connection:
        root = await find_fan_out(connection, key)
        if root is None:
            return None
        counts = await count_children(connection, root.run_id)
        result = await connection.execute(
            text(
                """
                SELECT count(*) AS pages, coalesce(sum(page.rows), 0) AS rows FROM sync.pages AS page
                JOIN sync.runs AS child USING (run_id) WHERE child.parent_run_id = :root_id
                """
            ),
            {"root_id": root.run_id},
        )
        row = result.one()
    return FanOutView(counts=counts, pages=int(row.pages), rows=int(row.rows), seconds=time.monotonic() - begun)


def _shown(key: str, view: FanOutView) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(f"  {key}: {view.state}", no_wrap=True, overflow="ellipsis"))
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(view.counts.children, 1), completed=view.done, width=BAR_WIDTH)
    line.add_row("", bar)
    line.add_row("", Text(view.told, no_wrap=True, overflow="ellipsis"))
    table.add_row(line)
    return table
