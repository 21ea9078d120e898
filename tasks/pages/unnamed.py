"""Whose an included record is that nobody on its page names, as for some minutes after a change.

It was sent because of one of the page's records. So parts of the page are requested, each half as long as the one
before, until a record stands alone and brings it: seven requests for a page of a hundred.
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace

from tasks.pages.page_ref import PageRef
from tasks.pages.sync_context import SyncContext
from tasks.rows.sideloaded import Key, key_of


@dataclass(kw_only=True)
class OwnerSearch:
    """Looks for owners on one page. `found` are ids, by record."""

    sync: SyncContext
    found: dict[Key, str] = field(default_factory=dict)

    async def look(self, part: PageRef, wanted: Set[Key]) -> None:
        """Find the owners of records that came with this part. Raises the client's errors."""
        if part.size == 1:
            await self._show(part, wanted)
            return
        half = part.size // 2
        first, second = replace(part, size=half), replace(part, offset=part.offset + half, size=part.size - half)
        here = wanted & await self._show(first, wanted)
        if here - self.found.keys():
            await self.look(first, here)
        if elsewhere := wanted - here:
            await self.look(second, elsewhere)

    async def _show(self, part: PageRef, wanted: Set[Key]) -> frozenset[Key]:
        """Which of these come with a part; if it is one record, that is their owner."""
        fetched = await self.sync.fetch(part)
        self.sync.patient.requests += fetched.requests
        shown = frozenset(key for one in fetched.page.included if (key := key_of(one)) in wanted and key is not None)
        if len(fetched.page.records) == 1 and (owner := key_of(fetched.page.records[0])) is not None:
            self.found |= dict.fromkeys(shown, owner[1])
        return shown
