"""Reads what changed from the newest record on, where PCO can order by the time of change but not filter by it.

Pure, no clock, no I/O. The order is `-updated_at`. While it is read, records that change move to the front and push
the others back: these are seen twice, which does no harm. Records that are deleted let those behind them slip towards
the front, past the page that is read next. So each page begins with the last record of the page before. A page is
*proven* if it is the first one of the list, or shows any record that a proven page has shown: then nothing unseen is in
front of it, for a record that has not changed stays behind those that were in front of it. Where a page shows none,
something may have slipped past it, and the walk steps back by half a page until one does.

It ends at the first page that shows a record from before the window, or at the end of the list. What changes while it
runs is in the window of the next delta. The argument in full: docs/adr/0014-newest-first.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pco_walks.walk import PageReading, PageToRead


class WalkStuckError(Exception):
    """The source changes faster than it can be read. What was read is stored; completeness cannot be proven now."""

    def __init__(self, offset: int, readings: int) -> None:
        super().__init__(f"the page at offset {offset} was read {readings} times and the collection still moved")
        self.offset = offset
        self.readings = readings

    def __reduce__(self) -> tuple[type["WalkStuckError"], tuple[int, int]]:
        return type(self), (self.offset, self.readings)


@dataclass(kw_only=True)
class NewestFirst:
    """The state of such a walk; used as `Walk` is. Pages are read one at a time."""

    page_size: int
    max_readings: int = 20

    is_finished: bool = False
    _asked: dict[int, int] = field(default_factory=dict)
    _queue: list[PageToRead] = field(default_factory=list)
    _pages: int = 0

    def __post_init__(self) -> None:
        self._ask(0)

    @property
    def page_count(self) -> int | None:
        """How many pages there were; None before the end, which nobody can know."""
        return self._pages if self.is_finished else None

    def ready(self) -> list[PageToRead]:
        """The page to read now; each turn is handed out once."""
        turns, self._queue = self._queue, []
        return turns

    def replay(self, committed: Iterable[PageReading]) -> int:
        """Continue an interrupted walk: take in what was committed, and return how many readings that were."""
        known = {PageToRead(offset=one.offset, size=one.size, reading=one.reading): one for one in committed}
        taken = 0
        while self._queue and self._queue[0] in known:
            self.record(known[self._queue.pop()])
            taken += 1
        return taken

    def record(self, reading: PageReading) -> None:
        """Take in an answer. Raises `WalkStuckError` when a page would have to be read too often."""
        self._pages += 1
        if reading.offset > 0 and not reading.seen_before:
            self._ask(max(reading.offset - max(self.page_size // 2, 1), 0))
        elif reading.reached or reading.next_offset is None:
            self.is_finished = True
        else:
            self._ask(max(reading.next_offset - 1, reading.offset + 1))

    def _ask(self, offset: int) -> None:
        asked = self._asked.get(offset, 0)
        if asked >= self.max_readings:
            raise WalkStuckError(offset, asked)
        self._asked[offset] = asked + 1
        self._queue.append(PageToRead(offset=offset, size=max(self.page_size, 2), reading=asked + 1))
