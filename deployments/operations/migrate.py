"""`migrate`: bring the tables up to date, and fill them with what the ledger knows, with progress on the terminal."""

import time
from dataclasses import asdict
from typing import Final

from rich.console import Console

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.interrupts import interrupts
from pco_store.ledger.ancestors import Filled
from pco_store.migrate import fill_from_ledger, migrate
from tasks.reports.counted import counted

SHOWN_EVERY_SECONDS: Final = 1.0
"""On a terminal one line is overwritten; elsewhere each is a line of its own, ten times rarer."""


def migrate_and_fill(url: str, console: Console, *, as_json: bool = False) -> int:
    """Safe to interrupt and to repeat. Raises the errors of the store."""
    revision = interrupts.run(migrate(url))
    console.print(f"tables are at {revision}", highlight=False)
    began, shown_at = time.monotonic(), 0.0

    def show(filled: Filled) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at < SHOWN_EVERY_SECONDS * (1 if console.is_terminal else 10):
            return
        shown_at = now
        end = "\r" if console.is_terminal else "\n"
        console.print(f"ancestors from the ledger: {progress(filled)}  ", end=end, highlight=False, soft_wrap=True)

    filled = interrupts.run(fill_from_ledger(url, show))
    if filled.all_runs:
        seconds = f" in {time.monotonic() - began:.1f} s"
        console.print(f"ancestors from the ledger: {progress(filled)}{seconds}", highlight=False, soft_wrap=True)
    if as_json:
        print_document({"revision": revision, "filled": asdict(filled), "exit_code": DONE})
    return DONE


def progress(filled: Filled) -> str:
    """How far it came, in a line."""
    filled_rows, links = counted(filled.rows, "row"), counted(filled.links, "link")
    return f"{filled.runs:,} of {counted(filled.all_runs, 'list')}, {filled_rows} filled, {links}"
