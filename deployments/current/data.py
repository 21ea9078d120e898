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
from pco_store.freshness.announcing import nothing_read
from pco_store.freshness.reading import ChurchFreshness, TableFreshness, read_churches, read_tables
from pco_store.schema_check import check_schema
from tasks.reports.counted import counted

COLOURS: Final[Mapping[str, str]] = {"current": "green", "incomplete": "yellow", "overdue": "red", "never_read": "dim"}
WORST_FIRST: Final = ("overdue", "incomplete", "current", "never_read")
MOST_REASONS: Final = 3
"""Of a church in a line; all of them stand in its own status, and in the document."""


async def read_current(
    org_id: str | None, connected: Mapping[str, bool] | None
) -> tuple[Sequence[ChurchFreshness], Sequence[TableFreshness]]:
    """The churches, and the tables of the one that was named.

    `connected` are those that Prefect knows, each with whether schedules sync it: of such a church nothing need have
    been read. None: Prefect is away, so any church may be one of them. Raises `UnknownChurchError`, and the errors of
    the store.
    """
    async with transaction() as connection:
        await check_schema(connection)
        churches = await read_churches(connection, org_id)
        if org_id is None:
            scheduled = {one for one, is_scheduled in (connected or {}).items() if is_scheduled}
            return [*churches, *map(nothing_read, sorted(scheduled - {one.org_id for one in churches}))], []
        if not churches and connected is not None and org_id not in connected:
            await check_church(connection, org_id)
        return churches or [nothing_read(org_id)], await read_tables(connection, org_id)


def code_of(churches: Sequence[ChurchFreshness], connected: Mapping[str, bool], org_id: str | None) -> int:
    """0 if everything is current; a paused church counts only if it was named."""
    expected = [one for one in churches if org_id is not None or not _is_paused(one, connected)]
    return DONE if all(one.freshness == "current" for one in expected) else INCOMPLETE


def as_document(
    churches: Sequence[ChurchFreshness],
    tables: Sequence[TableFreshness],
    connected: Mapping[str, bool],
    org_id: str | None,
) -> dict[str, Any]:
    """For programs; with the tables of a church that was named."""
    found = [{**asdict(one), "freshness": one.freshness, "is_paused": _is_paused(one, connected)} for one in churches]
    if org_id is None:
        return {"churches": found}
    return {"church": found[0], "tables": [asdict(one) for one in tables]}


def show_churches(churches: Sequence[ChurchFreshness], connected: Mapping[str, bool], console: Console) -> None:
    """A line for each church, and why it is not current."""
    if not churches:
        console.print("no church was synced yet", highlight=False)
    for one in churches:
        _show_line(one, connected, console)
        if one.freshness == "current":
            continue
        for reason in one.because[:MOST_REASONS]:
            print_plain(console, f"{'':<15} {reason}")
        if len(one.because) > MOST_REASONS:
            more = f"and {len(one.because) - MOST_REASONS} more: `pco-sync status {one.org_id}`"
            console.print(f"{'':<15} {more}", highlight=False, soft_wrap=True)


def show_church(
    church: ChurchFreshness, tables: Sequence[TableFreshness], connected: Mapping[str, bool], console: Console
) -> None:
    """One church: each table that somebody has begun to read, those that are not current first."""
    _show_line(church, connected, console)
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
    if shown.rows:
        console.print(shown)
    for reason in church.because:
        print_plain(console, reason)


def _show_line(one: ChurchFreshness, connected: Mapping[str, bool], console: Console) -> None:
    paused = " (paused)" if _is_paused(one, connected) else ""
    console.print(f"{one.org_id:<15} {_word(one.freshness)}: {_told(one)}{paused}", highlight=False, soft_wrap=True)


def _is_paused(one: ChurchFreshness, connected: Mapping[str, bool]) -> bool | None:
    """Whether no schedule syncs it; None if Prefect was not asked, or does not know it."""
    return None if one.org_id not in connected else not connected[one.org_id]


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
