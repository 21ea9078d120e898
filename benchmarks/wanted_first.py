"""How much of a full sync has been requested when the last of what is wanted first was, by the simulator's log."""

import re
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

WEEKS = 4
"""The attendance of so many last weeks is wanted first."""

_LISTS = re.compile(r"/groups/v2/(groups|events)|/groups/v2/groups/\d+/memberships|/giving/v2/(donations|people|funds)")
_ATTENDANCE = re.compile(r"/groups/v2/events/(\d+)/attendances")


def recent_events(events: Sequence[Mapping[str, Any]], now: datetime) -> frozenset[str]:
    """The ids of the events that began in the last weeks."""
    return frozenset(
        str(one["id"])
        for one in events
        if now - timedelta(weeks=WEEKS) <= datetime.fromisoformat(one["attributes"]["starts_at"]) <= now
    )


def last_of_the_first(log: Sequence[Mapping[str, Any]], recent: Set[str]) -> int:
    """The number of the request that was the first one for the last page of groups, members, giving and attendance.

    What is requested again, such as a first page, does not count twice.
    """
    seen: set[tuple[str, int]] = set()
    last = 0
    for number, one in enumerate(log, start=1):
        page = one["path"], one["offset"]
        if page not in seen and _is_wanted(one["path"], recent):
            seen.add(page)
            last = number
    return last


def _is_wanted(path: str, recent: Set[str]) -> bool:
    attendance = _ATTENDANCE.fullmatch(path)
    return attendance[1] in recent if attendance else _LISTS.fullmatch(path) is not None
