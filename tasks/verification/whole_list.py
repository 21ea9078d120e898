"""Reads a list from its first page to its last, so that no record is missed although it moves meanwhile.

A short list is read once if every page names the same count and that many records were seen. A long one, and one that
does not pass, is read so that each page begins with the last record of the page before it. If it does not, records were
deleted or created in between; then a page across the gap is read, which has to share a record with both. So
completeness does not rest on the count, at the cost of one request in a hundred.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from pco_walks.window import WHOLE, Window
from tasks.verification.listing import PAGE, ListedPage, Listing

STEP: Final = PAGE - 1
SHORT: Final = 40 * PAGE
"""So few records are read in so little time that they are at rest, as a rule."""
LEAST_REPAIRS: Final = 2
PAGES_PER_REPAIR: Final = 20
"""Gaps that may be closed: two, and one in twenty pages; a list that moves faster is not read completely."""


@dataclass(kw_only=True)
class WholeList:
    """One reading. `take` is given every page once, in any order; only what names the records is kept."""

    listing: Listing
    take: Callable[[ListedPage], Awaitable[None]]
    keys: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    pages: int = 0
    _links: dict[int, "_Link"] = field(default_factory=dict)
    _totals: list[int] = field(default_factory=list)

    @property
    def total(self) -> int | None:
        """What PCO counts, if it does and lists no more than that."""
        return max(self._totals) if self._totals and len(self.keys) <= max(self._totals) else None

    async def read(self, first: ListedPage) -> str:
        """Read on from the first page to the end; why not everything was seen, if so. Raises the client's errors."""
        if first.total is not None and first.total <= SHORT:
            why = await self._read_on(first, PAGE)
            if not why and set(self._totals) == {len(self.keys)}:
                return ""
            self._links, self._totals = {}, []
            first = await self.listing.page()
        why = await self._read_on(first, STEP)
        if why or not await self._is_joined():
            return why or "the list changes faster than it can be read"
        if self._totals and len(self.keys) < min(self._totals):
            return f"Planning Center counts {min(self._totals)}, but lists {len(self.keys)} different records"
        return ""

    async def _read_on(self, first: ListedPage, step: int) -> str:
        last = await self._taken(first)
        if first.total is not None and first.next_offset is not None:
            end = first.total - (PAGE - step)
            await self.listing.each([(WHOLE, offset) for offset in range(step, end, step)], self._take)
            last = self._links[max(self._links)]
        while last.next_offset is not None:
            last = await self._taken(await self.listing.page(max(last.next_offset - 1, last.offset + 1)))
            if last.offset > 2 * len(self.keys) + 10 * PAGE:
                return "the list shows the same records again and again"
        return ""

    async def _take(self, _: Window, page: ListedPage) -> None:
        await self._taken(page)

    async def _taken(self, page: ListedPage) -> "_Link":
        link = _Link(offset=page.offset, keys=page.keys, next_offset=page.next_offset)
        self._links[page.offset] = link
        self.keys.update(page.keys)
        self.rejected.update(page.rejected)
        self.pages += 1
        if page.total is not None:
            self._totals.append(page.total)
        await self.take(page)
        return link

    async def _is_joined(self) -> bool:
        links = [self._links[offset] for offset in sorted(self._links)]
        repairs = max(LEAST_REPAIRS, len(links) // PAGES_PER_REPAIR)
        for one, following in pairwise(links):
            if _are_joined(one, following):
                continue
            if not repairs:
                return False
            repairs -= 1
            page = await self.listing.page(max(following.offset - PAGE // 2, 0))
            across = await self._taken(page)
            if not (_are_joined(one, across) and _are_joined(across, following)):
                return False
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Link:
    offset: int
    keys: tuple[str, ...]
    next_offset: int | None


def _are_joined(one: _Link, following: _Link) -> bool:
    """No record lies between them: they share one, or the first is the end of the list."""
    if not following.keys:
        return one.next_offset is None
    return bool(one.keys) and (one.keys[-1] in following.keys or following.keys[0] in one.keys)
