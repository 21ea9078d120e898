"""How current the mirror is, for people and for programs: every church in a line, or one church table by table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from deployments.exit_codes import DONE, INCOMPLETE
from deployments.operations.churches import check_church
from deployments.terminal import print_plain
from deployments.transaction import transaction
from pco_store.freshness.reading import ChurchFreshness, TableFreshness, read_churches, read_tables
from pco_store.schema_check import check_schema
from tasks.reports.counted import counted

COLOURS: Final[Mapping[str, str]] = {"current": "green", "incomplete": "yellow", "overdue": "red", "never_read": "dim"}
WORST_FIRST: Final = ("overdue", "incomplete", "current", "never_read")
MOST_REASONS: Final = 3
"""Of a church in a line; all of them stand in its own status, and in the document."""


async def read_current(org_id: str | None) -> tuple[Sequence[ChurchFreshness], Sequence[TableFreshness]]:
    """The churches, and the tables of the one that was named.

    Raises `UnknownChurchError`, and the errors of the store.
    """
    async with transaction() as connection:
        await check_schema(connection)
        if org_id is not None:
            await check_church(connection, org_id)
        churches = await read_churches(connection, org_id)
        return churches, [] if org_id is None else await read_tables(connection, org_id)


def code_of(churches: Sequence[ChurchFreshness], org_id: str | None) -> int:
    """0 if everything is current; of a church that was named, at least something has to be."""
    if org_id is not None and not churches:
        return INCOMPLETE
    return DONE if all(one.freshness == "current" for one in churches) else INCOMPLETE


def as_document(
    churches: Sequence[ChurchFreshness], tables: Sequence[TableFreshness], org_id: str | None
) -> dict[str, Any]:
    """For programs; with the tables of a church that was named."""
    found = [{**asdict(one), "freshness": one.freshness} for one in churches]
    if org_id is None:
        return {"churches": found}
    return {"church": found[0] if found else None, "tables": [asdict(one) for one in tables]}


def show_churches(churches: Sequence[ChurchFreshness], console: Console) -> None:
    """A line for each church, and why it is not current."""
    if not churches:
        console.print("no church was synced yet", highlight=False)
    for one in churches:
        console.print(f"{one.org_id:<15} {_word(one.freshness)}: {_told(one)}", highlight=False, soft_wrap=True)
        if one.freshness == "current":
            continue
        for reason in one.because[:MOST_REASONS]:
            print_plain(console, f"{'':<15} {reason}")
        if len(one.because) > MOST_REASONS:
            more = f"and {len(one.because) - MOST_REASONS} more: `pco-sync status {one.org_id}`"
            console.print(f"{'':<15} {more}", highlight=False, soft_wrap=True)


def show_church(
    churches: Sequence[ChurchFreshness], tables: Sequence[TableFreshness], org_id: str, console: Console
) -> None:
    """One church: each table that somebody has begun to read, those that are not current first."""
    if not churches:
        console.print(f"{org_id:<15} {_word('never_read')}: nothing of it was synced yet", highlight=False)
        return
    (church,) = churches
    console.print(f"{org_id:<15} {_word(church.freshness)}: {_told(church)}", highlight=False, soft_wrap=True)
    shown = Table()
    for name in ("table", "is", "complete as of", "changes seen until", "lists due", "last run"):
        shown.add_column(name, overflow="fold")
    for one in sorted(tables, key=lambda one: (WORST_FIRST.index(one.freshness), one.entity)):
        if one.freshness != "never_read":
            lists = "" if one.lists is None else f"{one.lists_due} of {one.lists}"
            shown.add_row(
                one.entity, _word(one.freshness), _when(one.complete_as_of), _when(one.changes_seen_until), lists,
                one.last_verdict,
            )  # fmt: skip
    console.print(shown)
    for reason in church.because:
        print_plain(console, reason)


def _told(one: ChurchFreshness) -> str:
    counts = [(one.current, "current"), (one.overdue, "overdue"), (one.incomplete, "incomplete")]
    words = ", ".join(f"{number} {word}" for number, word in counts if number)
    unread = f"; {counted(one.never_read, 'kind')} never read" if one.never_read else ""
    seen = f"; changes seen until {_when(one.changes_seen_until)}" if one.changes_seen_until else ""
    return f"{words or 'nothing is read'}{unread}{seen}"


def _word(freshness: str) -> str:
    return f"[{COLOURS[freshness]}]{freshness.replace('_', ' ')}[/]"


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
