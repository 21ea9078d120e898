"""A fan-out on the terminal: how many of its children are done, and what they have committed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deployments.watching.followed import Followed
from deployments.watching.following import Look
from pco_store.ledger.fan_out.fan_outs import count_children, count_committed
from pco_store.ledger.run_facts import ChildCounts, run_facts
from tasks.reports.counted import counted

BAR_WIDTH: Final = 28
PATIENCE_WITH_DELETIONS: Final = 60.0
"""Seconds after the last child in which we wait to be told what is missing; it is looked for by a run of its own."""


@dataclass(frozen=True, kw_only=True)
class FanOutView:
    """What is shown: the children, and the pages and rows that they have committed."""

    counts: ChildCounts
    pages: int
    rows: int
    seconds: float

    @property
    def done(self) -> int:
        """Children that need not be run any more."""
        counts = self.counts
        return counts.done + counts.cancelled + counts.dead

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
        parts = [f"{self.done:,}/{counted(counts.children, 'child')}", f"{counts.submitted + counts.running} under way"]
        parts += [
            counted(self.pages, "page"),
            counted(self.rows, "row"),
            f"{self.done / max(self.seconds, 0.001):.1f}/s",
        ]
        if counts.dead:
            parts.append(f"{counts.dead} dead")
        if counts.quarantined:
            parts.append(f"{counts.quarantined} in quarantine")
        return "  ".join(parts)


class FanOutLook:
    """The look of a fan-out: its children, as the ledger shows them."""

    def __init__(self, followed: Followed, *, on_view: Callable[[FanOutView], None] = lambda _: None) -> None:
        self.view: FanOutView | None = None
        self._followed = followed
        self._on_view = on_view
        self._unsettled_since: float | None = None

    async def look(self, seconds: float) -> Look:
        """It is over when no child is left, and when it is known what is missing from the lists."""
        followed = self._followed
        name = f"{followed.entity} of {followed.org_id}"
        is_over = await followed.look(seconds)
        run = followed.run or followed.others
        if run is None:
            return Look(line=f"{name}: {followed.flow_run.told}", is_over=is_over)
        async with followed.database.transaction() as connection:
            counts = await count_children(connection, run.run_id)
            pages, rows = await count_committed(connection, run.run_id, run.entity)
            self.view = FanOutView(counts=counts, pages=pages, rows=rows, seconds=seconds)
            self._on_view(self.view)
            is_over = followed.run is not None and counts.is_over
            waits = is_over and (await run_facts(connection, run.run_id)).is_unsettled and self._is_patient(seconds)
        state = "all lists are read; waiting to be told what is missing from them" if waits else self.view.state
        line = f"{name}, {run.epoch}: {state}"
        return Look(line=f"{line}, {self.view.told}", shown=_shown(line, self.view), is_over=is_over and not waits)

    def _is_patient(self, seconds: float) -> bool:
        """What is missing is looked for by a run of its own; if that takes long, the summary says so."""
        if self._unsettled_since is None:
            self._unsettled_since = seconds
        return seconds - self._unsettled_since < PATIENCE_WITH_DELETIONS


def _shown(headline: str, view: FanOutView) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(f"  {headline}", no_wrap=True, overflow="ellipsis"))
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(view.counts.children, 1), completed=view.done, width=BAR_WIDTH)
    line.add_row("", bar)
    line.add_row("", Text(view.told, no_wrap=True, overflow="ellipsis"))
    table.add_row(line)
    return table
