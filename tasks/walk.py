"""Which page to read next, and when a collection has provably been read: pure, no clock, no I/O.

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

The argument in full, with the alternatives that lost: docs/adr/0005-walk-back-to-front.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTurn:
    """One page to read. `reading` is 1 at first sight and grows when the page has to be read again."""

    offset: int
    size: int
    reading: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReading:
    """What one reading of a page told about the collection; the last two are for walks from the newest record on."""

    offset: int
    size: int
    reading: int
    rows: int
    next_offset: int | None
    total_count: int | None
    reached: bool = False
    seen_before: int = 0


@dataclass(kw_only=True)
class Walk:
    """The state of one walk over one collection.

    Take the pages to read from `ready()`, give each answer to `record()`, until `is_finished`. A walk that was
    interrupted is continued by giving the answers that were committed to `replay()` first.
    `bounded` says that no record can enter the collection while it is read. If a page was read `max_readings` times and
    still has no proof, that is not so, or the collection changes faster than it is read: then the walk gets strict.
    """

    page_size: int
    bounded: bool
    max_readings: int = 20

    is_finished: bool = False
    is_strict: bool = False
    _step: int = 0
    _end: int | None = None
    _readings: dict[int, list[PageReading]] = field(default_factory=dict)
    _outstanding: set[int] = field(default_factory=set)
    _queue: list[PageTurn] = field(default_factory=list)
    _asked: dict[int, int] = field(default_factory=dict)
    _strict_turn: PageTurn | None = None

    def __post_init__(self) -> None:
        self._step = self.page_size
        self._ask(0)

    @property
    def page_count(self) -> int | None:
        """How many pages the collection has, once that is known."""
        return None if self._end is None else self._end // self._step + 1

    @property
    def only_count(self) -> int | None:
        """What the first page counted, as long as no other page was read."""
        return self._readings[0][0].total_count if len(self._readings) == 1 and 0 in self._readings else None

    @property
    def pages_read(self) -> int:
        """How many different pages have been read."""
        return len(self._readings)

    def ready(self) -> list[PageTurn]:
        """The pages to read now, most urgent first; each turn is handed out once."""
        turns, self._queue = self._queue, []
        return turns

    def replay(self, committed: Iterable[PageReading]) -> int:
        """Continue an interrupted walk: take in what was committed, and return how many readings that were."""
        known = {PageTurn(offset=one.offset, size=one.size, reading=one.reading): one for one in committed}
        taken = 0
        while found := [turn for turn in self._queue if turn in known]:
            self._queue = [turn for turn in self._queue if turn not in known]
            for turn in found:
                self.record(known[turn])
            taken += len(found)
        return taken

    def record(self, reading: PageReading) -> None:
        """Take in an answer."""
        self._outstanding.discard(reading.offset)
        self._readings.setdefault(reading.offset, []).append(reading)
        if self.is_strict:
            turn = self._strict_turn
            if turn is not None and (turn.offset, turn.reading) == (reading.offset, reading.reading):
                self._step_strictly(reading)
        elif self._end is None:
            self._begin(reading)
        elif _is_miscounted(reading):
            self._become_strict()
        elif not self._outstanding:
            self._prove_by_count()

    def distrust_counts(self) -> None:
        """Something shows that records enter the window although they should not: prove by order alone."""
        self.bounded = False
        if self._end is not None and not self.is_strict and not self.is_finished:
            self._become_strict()

    def _begin(self, first: PageReading) -> None:
        """Page 0 is read: learn the real page size and the end."""
        if first.next_offset is None:
            self._end = 0
            self.is_finished = True
            return
        self._step = first.next_offset
        counted = first.total_count is not None and not _is_miscounted(first)
        self._end = (first.total_count - 1) // self._step * self._step if counted and first.total_count else self._step
        if self.bounded and counted:
            for offset in range(self._end, 0, -self._step):
                self._ask(offset)
        else:
            self._become_strict()

    def _prove_by_count(self) -> None:
        """Follow the chain of readings from the last page to the first; read again what breaks it.

        At each page the walk holds the earliest reading that is not older than the one held at its right neighbour.
        From there it may go back to an older reading of the same page, if fewer records left in between than the page
        holds: none can have jumped over the whole page unseen. That is what keeps one re-read from causing others.
        """
        assert self._end is not None
        held = max(_count(reading) for reading in self._readings[self._end])
        stale: list[int] = []
        for offset in range(self._end - self._step, -1, -self._step):
            counts = sorted((_count(reading) for reading in self._readings[offset]), reverse=True)
            not_older = [count for count in counts if count <= held]
            if not not_older:
                stale.append(offset)
                continue
            held = not_older[0]
            for older in reversed([count for count in counts if count > held]):
                if older - held > self._step:
                    break
                held = older
        if any(self._asked[offset] >= self.max_readings for offset in stale):
            self._become_strict()
            return
        for offset in stale:
            self._ask(offset)
        self.is_finished = not stale

    def _become_strict(self) -> None:
        """Give up the count as a clock. Pages in flight are still recorded, but prove nothing."""
        assert self._end is not None
        self.is_strict = True
        self._queue = []
        self._outstanding = set()
        self._strict_turn = self._ask(self._end)

    def _step_strictly(self, reading: PageReading) -> None:
        """One at a time: forwards until there is no next page, then backwards to page 0."""
        assert self._end is not None
        position = reading.offset
        if position == self._end and reading.next_offset is not None:
            self._end = position = reading.next_offset
        elif position == 0:
            self.is_finished = True
            return
        else:
            position -= self._step
        self._strict_turn = self._ask(position)

    def _ask(self, offset: int) -> PageTurn:
        asked = self._asked.get(offset, 0)
        self._asked[offset] = asked + 1
        self._outstanding.add(offset)
        turn = PageTurn(offset=offset, size=self._step, reading=asked + 1)
        self._queue.append(turn)
        return turn


def _is_miscounted(reading: PageReading) -> bool:
    """The count is missing, or smaller than what the page itself shows."""
    total = reading.total_count
    if total is None:
        return True
    return (reading.rows > 0 and reading.offset + reading.rows > total) or (
        reading.next_offset is not None and reading.next_offset >= total
    )


def _count(reading: PageReading) -> int:
    assert reading.total_count is not None
    return reading.total_count
