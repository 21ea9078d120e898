"""`churches`: every church in a line, with what is wrong below it."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.churches.known import Church, known_churches
from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.terminal import print_plain

MOST_REASONS: Final = 2
CONNECTED: Final = {"token": "token", "oauth": "OAuth", "environment": "environment", None: "not connected"}


async def show_churches(console: Console, *, as_json: bool) -> int:
    """Print them. Raises the errors of the store and Prefect's."""
    churches = await known_churches()
    if as_json:
        print_document({"churches": [asdict(one) for one in churches], "exit_code": DONE})
        return DONE
    if not churches:
        console.print("there is no church yet: pco-sync connect my-church", highlight=False)
        return DONE
    table = Table()
    for name in ("church", "connected by", "schedules", "complete as of", "is"):
        table.add_column(name, overflow="fold")
    for one in churches:
        table.add_row(_called(one), _connected(one), _schedules(one), _when(one.complete_as_of), one.freshness)
    console.print(table)
    for one in churches:
        for reason in one.trouble[:MOST_REASONS]:
            print_plain(console, f"{one.org_id}: {reason}")
        if len(one.trouble) > MOST_REASONS:
            more = f"{one.org_id}: and {len(one.trouble) - MOST_REASONS} more: pco-sync status {one.org_id}"
            print_plain(console, more)
    return DONE


def _called(one: Church) -> str:
    return one.org_id if one.name is None else f"{one.org_id}\n{escape(one.name)}"


def _connected(one: Church) -> str:
    scopes = f"\n{' '.join(one.scopes)}" if one.scopes else ""
    return f"{CONNECTED[one.connected]}{scopes}"


def _schedules(one: Church) -> str:
    return "paused" if one.is_paused else "on" if one.connected is not None else "off"


def _when(at: datetime | None) -> str:
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
