"""Deleted records of a list that PCO shows by a filter: those need not be asked for one by one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pco_client.documents import MalformedRecord, read_resource
from pco_client.sansio import PageRequest
from tasks.deletions.absence import Absent
from tasks.pages.sync_context import SyncContext

FILTERS: Final = ("only_deleted", "recently_deleted")
"""Filters that show deleted records and no others, the better one first; `with_deleted` and its like mix."""


async def find_shown_as_deleted(sync: SyncContext, ids: Sequence[str], *, alive: Sequence[str]) -> Absent | None:
    """Of these records, those that PCO shows as deleted; None where it has no such filter, or ignores it.

    It ignores it if its answer does not name it, or shows one of the `alive`. Raises the errors of the client.
    """
    name = next((one for one in FILTERS if one in sync.entity.filters_at(sync.path)), None)
    if name is None:
        return None
    wanted, found = set(ids), set[str]()
    at: datetime | None = None
    request = PageRequest(path=sync.path, api_version=sync.entity.api_version, filter=name)
    while found != wanted:
        fetched = await sync.patient.fetch_page(request, expected_type=sync.entity.resource)
        if fetched.page.can_filter is None or name not in fetched.page.can_filter:
            return None
        at = at or fetched.sent_at + sync.clock_offset
        shown = {_id_of(record, sync.entity.resource) for record in fetched.page.records}
        if not shown.isdisjoint(alive):
            return None
        found |= wanted & shown
        if fetched.page.next_offset is None:
            break
        request = replace(request, offset=fetched.page.next_offset)
    return None if at is None else Absent(ids=tuple(sorted(found)), at=at)


def _id_of(record: object, resource: str) -> str:
    try:
        return read_resource(record, expected_type=resource).id
    except MalformedRecord:
        return ""
