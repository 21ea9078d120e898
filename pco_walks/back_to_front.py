"""Reads a collection back to front, so that a record that moves is seen twice and never missed. Pure.

PCO has offset pages and no cursor. While a walk runs, the records it has to find can only *leave* (deleted, or changed
beyond the window's upper bound), and new ones are appended at the end (the order is by id). So a record's position can
only move towards the front. Read front to back, a record that moves across a page boundary is never seen. Read **back
to front** it moves into a page that is still to be read: it may be seen twice, never missed.

So the walk reads page 0 (which says how many records there are), then the last page, and from there towards the front.

*Counted* walk, for a window with an upper bound: pages are read many at a time, so neighbours may be answered in the
wrong order. Each answer carries `total_count`, which can only fall: it is the clock. A page that counted more records
than its right neighbour was answered earlier; records may have slipped into it afterwards, so it is read once more.

*Strict* walk, for a collection without an upper bound, or without a trustworthy `total_count`: there is no such clock,
so pages are read one at a time, and the order itself is the proof.

A walk may *open* with the whole list: the first reading of page 0 is requested without the window's filter. Its count
is the yardstick that the filter does not share: where it equals the window's own count, the filter hides nothing.

The argument in full, with the alternatives that lost: docs/adr/0005-walk-back-to-front.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pco_walks.walk import PageReading, PageToRead

AHEAD: Final = 200
"""So many pages are requested ahead of their answers: a count of a thousand million pages costs no memory."""


@dataclass(kw_only=True)
class BackToFront:
    """The state of one walk over one collection.

    Take the pages to read from `ready()`, give each answer to `record()`, until `is_finished`. A walk that was
    interrupted is continued by giving the answers that were committed to `replay()` first.
    `bounded` says that no record can enter the collection while it is read. If so many pages have to be read again
    that a strict pass (`patience` of them) costs less, that is not so, or the collection changes faster than it is
    read: then the walk gets strict. `opens_whole`: the first page is first read without the window's filter.
    """

    page_size: int
    bounded: bool
    opens_whole: bool = False
    patience: int = 1

    is_finished: bool = False
    is_strict: bool = False
    is_miscounted: bool = False
    """A count was missing, or contradicted what its page showed."""
    _step: int = 0
    _end: int | None = None
    _readings: dict[int, list[PageReading]] = field(default_factory=dict)
    _outstanding: set[int] = field(default_factory=set)
    _unasked: int = 0
    """Of the pages behind the first, those in front of this offset are yet to be requested for the first time."""
    _queue: list[PageToRead] = field(default_factory=list)
    _asked: dict[int, int] = field(default_factory=dict)
    _strict_turn: PageToRead | None = None
    _stride: int = 0
    _opening_is_doubted: bool = False

    def __post_init__(self) -> None:
        self._step = self.page_size
        self._ask(0, whole=self.opens_whole)

    @property
    def page_count(self) -> int | None:
        """How many pages the collection has, once that is known."""
        return None if self._end is None else -(-self._end // self._step) + 1

    @property
    def opening_count(self) -> int | None:
        """What the first reading of the first page counted: the whole list, in a walk that opens with it."""
        return self._readings[0][0].total_count if 0 in self._readings else None

    @property
    def window_count(self) -> int | None:
        """The greatest count of all readings behind the opening one; None as long as there is none."""
        behind = [one.total_count for readings in self._readings.values() for one in readings if not _is_opening(one)]
        return max((count for count in behind if count is not None), default=None)

    @property
    def has_only_opened(self) -> bool:
        """Nothing but the first page was read, and that once."""
        return sum(map(len, self._readings.values())) == 1 and 0 in self._readings

    def ready(self) -> list[PageToRead]:
        """The pages to read now, most urgent first; each turn is handed out once."""
        turns, self._queue = self._queue, []
        return turns

    def replay(self, committed: Iterable[PageReading]) -> int:
        """Continue an interrupted walk: take in what was committed, and return how many readings that were."""
        known = {(one.offset, one.size, one.reading): one for one in committed}
        taken = 0
        while found := [turn for turn in self._queue if (turn.offset, turn.size, turn.reading) in known]:
            self._queue = [turn for turn in self._queue if turn not in found]
            for turn in found:
                self.record(known[turn.offset, turn.size, turn.reading])
            taken += len(found)
        return taken

    def record(self, reading: PageReading) -> None:
        """Take in an answer."""
        self._outstanding.discard(reading.offset)
        self._readings.setdefault(reading.offset, []).append(reading)
        if self.opens_whole and reading.offset > 0 and reading.seen_before:
            self._opening_is_doubted = True
        if self.is_strict:
            turn = self._strict_turn
            if turn is not None and (turn.offset, turn.reading) == (reading.offset, reading.reading):
                self._step_strictly(reading)
        elif self._end is None:
            self._begin(reading)
        elif _is_miscounted(reading):
            self.is_miscounted = True
            self._become_strict(self._furthest_shown())
        else:
            self._ask_ahead()
            if not self._outstanding:
                self._prove_by_count(self._end)

    def _begin(self, first: PageReading) -> None:
        """Page 0 is read: learn the real page size and the end."""
        if first.is_torn and self.bounded and self._asked[0] <= self.patience:
            self._ask(0)
            return
        if first.is_whole_list:
            self._end = 0
            self.is_finished = True
            return
        # A next offset far within the page is a trap: a page for each record. One a little within it is to be believed,
        # for a page may show a record twice.
        self._step = max(first.next_offset or first.size, first.rows // 2)
        self.is_miscounted = _is_miscounted(first) or (first.is_torn and self.bounded)
        if self.bounded and not self.is_miscounted and first.total_count:
            self._end = (_first_count(first) - 1) // self._step * self._step
            self._unasked = self._end + self._step
            self._ask_ahead()
        else:
            end = self._step
            if first.total_count and not self.is_miscounted:
                end = (first.total_count - 1) // self._step * self._step
            self._become_strict(end)

    def _ask_ahead(self) -> None:
        """Request further pages for the first time, from the last one to the second."""
        while self._unasked > self._step and len(self._outstanding) < AHEAD:
            self._unasked -= self._step
            self._ask(self._unasked)

    def _prove_by_count(self, end: int) -> None:
        """Follow the chain of readings from the last page to the first; read again what breaks it.

        At each page the walk holds the earliest reading that is not older than the one held at its right neighbour.
        From there it may go back to an older reading of the same page, if fewer records left in between than the page
        holds: none can have jumped over the whole page unseen. That is what keeps one re-read from causing others. To
        its right neighbour a page that was read in parts is as old as its first part, to its left one as the last.

        The opening reading counted the whole list, so at least what the window held: by that count it can only be taken
        for older than it is. It is not used at all if its list was in another order than the window.
        """
        held: int | None = None
        stale: list[int] = []
        for offset in range(end, -1, -self._step):
            readings = [one for one in self._readings[offset] if not one.is_torn]
            if offset == 0 and self._opening_is_doubted:
                readings = [one for one in readings if not _is_opening(one)]
            counts = sorted(((_first_count(one), _count(one)) for one in readings), reverse=True)
            not_older = [count for first, count in counts if held is None or first <= held]
            if not not_older:
                stale.append(offset)
                continue
            right, held = held, not_older[0]
            older_ones = [] if right is None else [count for first, count in counts if first == count > held]
            for older in reversed(older_ones):
                if older - held > self._step:
                    break
                held = older
        read_again = sum(self._asked.values()) - len(self._asked)
        if read_again + len(stale) > self.patience * len(self._asked):
            self._become_strict(end)
            return
        for offset in stale:
            self._ask(offset)
        self.is_finished = not stale

    def _furthest_shown(self) -> int:
        """The last page that is known to have shown a record."""
        return max(
            (offset for offset, readings in self._readings.items() if any(one.rows for one in readings)), default=0
        )

    def _become_strict(self, end: int) -> None:
        """Give up the count as a clock. Pages in flight are still recorded, but prove nothing."""
        self.is_strict = True
        self._end = max(end, self._step)
        self._queue = []
        self._outstanding = set()
        self._strict_turn = self._ask(self._end)

    def _step_strictly(self, reading: PageReading) -> None:
        """One at a time: forwards until there is no next page, then backwards to page 0.

        Where the end was thought to be is nothing but a place to begin. If nothing is there, nor in front of it as far
        as the walk has seen, it begins further in front, in strides that double: the count was far too high.
        """
        assert self._end is not None
        position = reading.offset
        if position == self._end and reading.next_offset is not None:
            self._end = position = max(reading.next_offset, position + reading.rows // 2)
        elif position == self._end and not reading.rows and position - self._step > self._furthest_shown():
            self._stride = self._stride * 2 or self._step
            self._end = position = max(position - self._stride, self._furthest_shown() + self._step)
        elif position == 0:
            self.is_finished = True
            return
        else:
            position = max(position - self._step, 0)
        self._strict_turn = self._ask(position)

    def _ask(self, offset: int, *, whole: bool = False) -> PageToRead:
        asked = self._asked.get(offset, 0)
        self._asked[offset] = asked + 1
        self._outstanding.add(offset)
        turn = PageToRead(offset=offset, size=self._step, reading=asked + 1, whole=whole)
        self._queue.append(turn)
        return turn


def _is_opening(reading: PageReading) -> bool:
    return (reading.offset, reading.reading) == (0, 1)


def _is_miscounted(reading: PageReading) -> bool:
    """The count is missing, or contradicts what the page itself shows."""
    if reading.total_count is None:
        return True
    total = _first_count(reading)
    return (
        (reading.rows > 0 and reading.offset + reading.rows > total)
        or (reading.next_offset is not None and reading.next_offset >= total)
        or reading.counts_more_than_it_shows
    )


def _first_count(reading: PageReading) -> int:
    return _count(reading) if reading.first_count is None else reading.first_count


def _count(reading: PageReading) -> int:
    assert reading.total_count is not None
    return reading.total_count
