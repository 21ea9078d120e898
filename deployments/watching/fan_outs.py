"""Follow a fan-out on the terminal, by the ledger, until no child is left to be run."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import text

from deployments.ended import Failure, failure_of
from pco_store.database import Database
from pco_store.ledger.fan_outs import FanOutCounts, count_children
from pco_store.ledger.results import LedgerRun, find_by_key

LOOK_SECONDS: Final = 0.4
PRINT_EVERY: Final = 15.0
"""Seconds between lines where the output is no terminal."""
BAR_WIDTH: Final = 28
ASK_PREFECT_SECONDS: Final = 1.0
PATIENCE_FOR_A_WORKER: Final = 30.0
"""Seconds after which we ask whether there is a worker at all."""


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


class EndedBeforeItBeganError(Exception):
    """The flow run ended without having taken or joined the fan-out; `failure` is its result, by Prefect."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.reason


async def watch_fan_out(
    key: str,
    console: Console,
    *,
    flow_run_id: UUID | None = None,
    on_view: Callable[[FanOutView], None] = lambda _: None,
    print_every: float = PRINT_EVERY,
) -> FanOutView:
    """Show the children of the fan-out `key` until all are done; `on_view` is called with every look.

    With the `flow_run_id` of who was started for it, what an earlier one has left of it is not taken for the end: it is
    over when that flow run is over, and then the fan-out. Raises `EndedBeforeItBeganError`.
    """
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    begun = printed = asked = time.monotonic()
    started: FlowRun | None = None
    is_taken = False
    try:
        with Live(Text(f"  {key}: {_waiting(0)}"), console=console, auto_refresh=False) as live:
            async with get_client() as client:
                while True:
                    is_known = started is not None and is_over(started)
                    if flow_run_id is not None and not is_known and (started is None or _is_due(asked)):
                        started, asked = await client.read_flow_run(flow_run_id), time.monotonic()
                    run, view = await _look(database, key, begun)
                    is_taken = is_taken or (run is not None and run.flow_run_id == str(flow_run_id))
                    if view is not None and run is not None and (is_taken or is_begun(run, started)):
                        on_view(view)
                        live.update(_shown(key, view), refresh=True)
                        if view.counts.is_over and (is_taken or is_over(started)):
                            return view
                        if not console.is_terminal and time.monotonic() - printed >= print_every:
                            printed = time.monotonic()
                            console.print(f"  {key}: {view.told}", highlight=False, soft_wrap=True)
                    elif started is not None and has_ended_badly(started):
                        raise EndedBeforeItBeganError(failure_of(started))
                    else:
                        live.update(Text(f"  {key}: {_waiting(time.monotonic() - begun)}"), refresh=True)
                    await asyncio.sleep(LOOK_SECONDS)
    finally:
        await database.aclose()


def is_begun(run: LedgerRun, started: FlowRun | None) -> bool:
    """Whether what the ledger shows goes on, or is what the flow run that was started has found complete."""
    if started is None or run.state in ("running", "awaiting"):
        return True
    return started.state is not None and started.state.is_completed()


def is_over(started: FlowRun | None) -> bool:
    """Whether the flow run that was started is over; one that has taken the fan-out need not be waited for."""
    return started is None or (started.state is not None and started.state.is_final())


def has_ended_badly(started: FlowRun) -> bool:
    """Whether the flow run is over, and has not done or joined anything."""
    return is_over(started) and not (started.state is not None and started.state.is_completed())


def _is_due(asked: float) -> bool:
    return time.monotonic() - asked >= ASK_PREFECT_SECONDS


def _waiting(seconds: float) -> str:
    if seconds < PATIENCE_FOR_A_WORKER:
        return "waiting for a worker"
    return "waiting for a worker; is one running? `make worker` starts one"


async def _look(database: Database, key: str, begun: float) -> tuple[LedgerRun | None, FanOutView | None]:
    async with database.transaction() as connection:
        run = await find_by_key(connection, key)
        if run is None:
            return None, None
        counts = await count_children(connection, run.run_id)
        result = await connection.execute(
            text(
                """
                SELECT count(*) AS pages, coalesce(sum(page.rows) FILTER (WHERE child.entity = :entity), 0) AS rows
                FROM sync.pages AS page JOIN sync.runs AS child USING (run_id) WHERE child.parent_run_id = :root_id
                """
            ),
            {"root_id": run.run_id, "entity": run.entity},
        )
        row = result.one()
    seconds = time.monotonic() - begun
    return run, FanOutView(counts=counts, pages=int(row.pages), rows=int(row.rows), seconds=seconds)


def _shown(key: str, view: FanOutView) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(f"  {key}: {view.state}", no_wrap=True, overflow="ellipsis"))
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(view.counts.children, 1), completed=view.done, width=BAR_WIDTH)
    line.add_row("", bar)
    line.add_row("", Text(view.told, no_wrap=True, overflow="ellipsis"))
    table.add_row(line)
    return table
