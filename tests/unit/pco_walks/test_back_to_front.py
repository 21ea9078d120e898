"""A walk sees every record that stays, whatever leaves or is appended while pages are in flight."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_walks.back_to_front import AHEAD, BackToFront
from pco_walks.walk import PageReading, PageToRead
from tests.histories import histories


@dataclass
class Collection:
    """A source in id order. Counts as told to: honestly, capped, or not at all.

    `hidden` records are left out by the filter of the window; without it the list may be in another order.
    """

    ids: list[int]
    hidden: set[int] = field(default_factory=set)
    opening: set[int] = field(default_factory=set)
    reverses_whole: bool = False
    count_cap: int | None = None
    counts: bool = True
    page_cap: int = 1000

    def answer(self, turn: PageToRead) -> tuple[PageReading, list[int]]:
        size = min(turn.size, self.page_cap)
        listed = self.ids if turn.whole else [one for one in self.ids if one not in self.hidden]
        listed = listed[::-1] if turn.whole and self.reverses_whole else listed
        rows = listed[turn.offset : turn.offset + size]
        more = turn.offset + size < len(listed)
        total = len(listed) if self.count_cap is None else min(len(listed), self.count_cap)
        if turn.whole:
            self.opening = set(rows)
        reading = PageReading(
            offset=turn.offset,
            size=turn.size,
            reading=turn.reading,
            rows=len(rows),
            next_offset=turn.offset + size if more else None,
            total_count=total if self.counts else None,
            seen_before=len(self.opening.intersection(rows)) if turn.offset else 0,
        )
        return reading, rows


@dataclass
class Reader:
    """Runs a walk with several pages in flight; the test decides which request is answered when."""

    walk: BackToFront
    source: Collection
    seen: set[int] = field(default_factory=set)
    waiting: list[PageToRead] = field(default_factory=list)
    in_flight: list[PageToRead] = field(default_factory=list)
    answered: list[tuple[PageReading, list[int]]] = field(default_factory=list)
    committed: list[PageReading] = field(default_factory=list)
    limit: int = 4

    def send(self) -> None:
        self.waiting.extend(self.walk.ready())
        while self.waiting and len(self.in_flight) + len(self.answered) < self.limit:
            self.in_flight.append(self.waiting.pop(0))

    def answer(self, index: int) -> None:
        """The source answers one of the requests in flight; the answer has not arrived yet."""
        if self.in_flight:
            self.answered.append(self.source.answer(self.in_flight.pop(index % len(self.in_flight))))

    def arrive(self, index: int) -> None:
        if self.answered:
            reading, rows = self.answered.pop(index % len(self.answered))
            self.seen.update(rows)
            self.committed.append(reading)
            self.walk.record(reading)

    def finish(self) -> None:
        while not self.walk.is_finished:
            self.send()
            assert self.in_flight or self.answered, "the walk is not finished and asks for nothing"
            self.answer(0)
            self.arrive(0)


def read_all(walk: BackToFront, source: Collection) -> Reader:
    reader = Reader(walk=walk, source=source)
    reader.finish()
    return reader


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25, 95])
def test_a_quiet_collection_costs_one_request_per_page(count: int) -> None:
    reader = read_all(BackToFront(page_size=10, bounded=True), Collection(ids=list(range(count))))
    assert reader.seen == set(range(count))
    assert len(reader.committed) == max(1, -(-count // 10))
    assert reader.walk.page_count == max(1, -(-count // 10))
    assert not reader.walk.is_strict


def test_pages_are_asked_for_back_to_front_after_the_first() -> None:
    walk = BackToFront(page_size=10, bounded=True)
    source = Collection(ids=list(range(45)))
    (first,) = walk.ready()
    walk.record(source.answer(first)[0])
    assert [turn.offset for turn in walk.ready()] == [40, 30, 20, 10]


def test_a_page_size_that_pco_caps_is_learned_from_the_first_page() -> None:
    reader = read_all(BackToFront(page_size=500, bounded=True), Collection(ids=list(range(950)), page_cap=100))
    assert reader.seen == set(range(950))
    assert len(reader.committed) == 10


@pytest.mark.parametrize(("counts", "count_cap"), [(False, None), (True, 30), (True, 1)])
def test_a_missing_or_capped_count_is_not_trusted(counts: bool, count_cap: int | None) -> None:
    source = Collection(ids=list(range(95)), counts=counts, count_cap=count_cap)
    reader = read_all(BackToFront(page_size=10, bounded=True), source)
    assert reader.walk.is_strict
    assert reader.seen == set(range(95))


def test_an_unbounded_collection_is_read_one_page_at_a_time() -> None:
    walk = BackToFront(page_size=10, bounded=False)
    source = Collection(ids=list(range(45)))
    order = []
    while not walk.is_finished:
        (turn,) = walk.ready()
        order.append(turn.offset)
        walk.record(source.answer(turn)[0])
    assert order == [0, 40, 30, 20, 10, 0]


def test_a_collection_that_never_stands_still_is_read_one_page_at_a_time_in_the_end() -> None:
    walk = BackToFront(page_size=100, bounded=True, patience=1)
    source = Collection(ids=list(range(10_000)))
    seen: set[int] = set()
    while not walk.is_finished:
        for turn in sorted(walk.ready(), key=lambda one: one.offset):  # front to back: the worst order
            reading, rows = source.answer(turn)
            seen.update(rows)
            del source.ids[:15]
            walk.record(reading)
    assert walk.is_strict
    assert set(source.ids) <= seen


def test_a_source_that_deletes_more_than_can_be_read_again_costs_three_passes_and_no_more() -> None:
    """Two hundred pages of 15: whatever is read again, the list has moved by more than a page when the next one is."""
    walk = BackToFront(page_size=15, bounded=True)
    source = Collection(ids=list(range(3000)))
    seen: set[int] = set()
    pages = 0
    while not walk.is_finished:
        for turn in sorted(walk.ready(), key=lambda one: one.offset):
            reading, rows = source.answer(turn)
            seen.update(rows)
            pages += 1
            walk.record(reading)
            if not walk.is_strict:
                del source.ids[:1]
    assert walk.is_strict
    assert set(source.ids) <= seen
    assert pages <= 3 * 200 + 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "answer", "arrive", "delete", "append"]), st.integers(0, 10_000)), max_size=120
)


def drive(reader: Reader, steps: list[tuple[str, int]], *, appends: bool) -> set[int]:
    """Play the steps, then finish in quiet; returns the ids that must have been seen."""
    expected = set(reader.source.ids)
    new_id = 1_000_000
    for action, number in steps:
        if action == "send":
            reader.send()
        elif action == "answer":
            reader.answer(number)
        elif action == "arrive":
            reader.arrive(number)
        elif action == "delete" and reader.source.ids:
            start = number % len(reader.source.ids)
            gone = reader.source.ids[start : start + 1 + number % 17]
            del reader.source.ids[start : start + 1 + number % 17]
            expected -= set(gone)
        elif action == "append" and appends:
            new_id += 1
            reader.source.ids.append(new_id)
    reader.finish()
    return expected


@histories(100)
@given(count=st.integers(0, 120), steps=STEPS, limit=st.integers(1, 8))
def test_a_bounded_walk_misses_nothing_that_stays(count: int, steps: list[tuple[str, int]], limit: int) -> None:
    walk = BackToFront(page_size=10, bounded=True, patience=500)
    reader = Reader(walk=walk, source=Collection(ids=list(range(count))), limit=limit)
    expected = drive(reader, steps, appends=False)
    assert expected <= reader.seen


@histories(100)
@given(
    count=st.integers(0, 120),
    steps=STEPS,
    counts=st.booleans(),
    count_cap=st.one_of(st.none(), st.integers(0, 60)),
)
def test_an_unbounded_walk_misses_nothing_that_stays(
    count: int, steps: list[tuple[str, int]], counts: bool, count_cap: int | None
) -> None:
    walk = BackToFront(page_size=10, bounded=False, patience=500)
    source = Collection(ids=list(range(count)), counts=counts, count_cap=count_cap)
    reader = Reader(walk=walk, source=source)
    expected = drive(reader, steps, appends=True)
    assert expected <= reader.seen


@histories(100)
@given(count=st.integers(0, 120), steps=STEPS, limit=st.integers(1, 8), bounded=st.booleans())
def test_a_continued_walk_reads_no_committed_page_again_and_misses_nothing(
    count: int, steps: list[tuple[str, int]], limit: int, bounded: bool
) -> None:
    walk = BackToFront(page_size=10, bounded=bounded, patience=500)
    source = Collection(ids=list(range(count)))
    before = Reader(walk=walk, source=source, limit=limit)
    expected = set(source.ids)
    for action, number in steps:
        if action == "send":
            before.send()
        elif action == "answer":
            before.answer(number)
        elif action == "arrive":
            before.arrive(number)
        elif action == "delete" and source.ids:
            expected.discard(source.ids.pop(number % len(source.ids)))

    again = BackToFront(page_size=10, bounded=bounded, patience=500)
    taken = again.replay(before.committed)
    assert taken == len(before.committed)
    after = Reader(walk=again, source=source, limit=limit, seen=set(before.seen))
    after.finish()
    assert expected <= after.seen
    committed = {(reading.offset, reading.reading) for reading in before.committed}
    assert not committed & {(reading.offset, reading.reading) for reading in after.committed}


@histories(100)
@given(count=st.integers(0, 120), steps=STEPS, limit=st.integers(1, 8))
def test_a_window_that_records_enter_after_all_is_read_to_an_end(
    count: int, steps: list[tuple[str, int]], limit: int
) -> None:
    """Nothing can be promised then but an end: the bound is chosen so that it does not happen."""
    reader = Reader(walk=BackToFront(page_size=10, bounded=True), source=Collection(ids=list(range(count))))
    reader.limit = limit
    drive(reader, steps, appends=True)
    assert reader.walk.is_finished


@pytest.mark.parametrize("hidden", [set(), {0}, {5, 17, 44}, {44}])
def test_what_the_opening_page_counts_more_than_the_window_is_what_the_filter_hides(hidden: set[int]) -> None:
    walk = BackToFront(page_size=10, bounded=True, opens_whole=True)
    reader = read_all(walk, Collection(ids=list(range(45)), hidden=hidden))
    assert walk.opening_count is not None
    assert walk.window_count is not None
    assert walk.opening_count - walk.window_count == len(hidden)
    assert len(reader.committed) == 5 + (len(hidden) > 0)
    assert set(range(45)) - hidden <= reader.seen


def test_where_the_filter_hides_nothing_opening_with_the_whole_list_costs_nothing() -> None:
    walk = BackToFront(page_size=10, bounded=True, opens_whole=True)
    (first,) = walk.ready()
    assert first.whole
    walk.record(Collection(ids=list(range(45))).answer(first)[0])
    assert walk.has_only_opened
    behind = walk.ready()
    assert not any(turn.whole for turn in behind)
    assert [turn.offset for turn in behind] == [40, 30, 20, 10]


def test_a_list_of_one_page_is_read_by_its_opening_page() -> None:
    walk = BackToFront(page_size=10, bounded=True, opens_whole=True)
    source = Collection(ids=list(range(9)), hidden={3})
    reader = read_all(walk, source)
    assert reader.seen == set(range(9))
    assert (len(reader.committed), walk.window_count) == (1, None)


@histories(150)
@given(
    count=st.integers(0, 120),
    steps=STEPS,
    limit=st.integers(1, 8),
    hidden=st.sets(st.integers(0, 120), max_size=9),
    reverses_whole=st.booleans(),
)
def test_a_walk_that_opens_with_the_whole_list_misses_nobody_whom_the_filter_shows(
    count: int, steps: list[tuple[str, int]], limit: int, hidden: set[int], reverses_whole: bool
) -> None:
    """Even if the list without the filter is in another order than with it."""
    walk = BackToFront(page_size=10, bounded=True, opens_whole=True, patience=500)
    source = Collection(ids=list(range(count)), hidden=hidden, reverses_whole=reverses_whole)
    reader = Reader(walk=walk, source=source, limit=limit)
    expected = drive(reader, steps, appends=False)
    assert expected - hidden <= reader.seen


@pytest.mark.parametrize("total", [10**8, 999_999_999, 460])
def test_a_count_far_beyond_what_the_list_shows_costs_a_few_requests(total: int) -> None:
    """Also without an upper bound, where the count says only where to begin."""
    for bounded in (True, False):
        walk = BackToFront(page_size=10, bounded=bounded)
        source = Collection(ids=list(range(45)))
        seen: set[int] = set()
        pages = 0
        while not walk.is_finished:
            for turn in walk.ready()[:4]:
                reading, rows = source.answer(turn)
                seen.update(rows)
                pages += 1
                walk.record(replace(reading, total_count=total))
        assert seen == set(range(45))
        assert pages < 60


def test_no_more_pages_are_requested_ahead_than_memory_is_worth() -> None:
    walk = BackToFront(page_size=100, bounded=True)
    (first,) = walk.ready()
    walk.record(
        PageReading(offset=0, size=100, reading=1, rows=100, next_offset=100, total_count=100_000_000),
    )
    ahead = walk.ready()
    assert len(ahead) == AHEAD
    assert ahead[0].offset == 99_999_900
    assert first.offset == 0


def test_a_next_offset_within_the_page_does_not_make_a_page_of_each_record() -> None:
    walk = BackToFront(page_size=100, bounded=False)
    source = Collection(ids=list(range(450)))
    seen: set[int] = set()
    pages = 0
    while not walk.is_finished:
        (turn,) = walk.ready()
        reading, rows = source.answer(turn)
        seen.update(rows)
        pages += 1
        following = None if reading.next_offset is None else turn.offset + 1
        walk.record(replace(reading, next_offset=following))
    assert seen == set(range(450))
    assert pages <= 25


@pytest.mark.parametrize(("total", "is_whole"), [(9, True), (10, True), (11, False), (None, True)])
def test_a_first_page_that_names_no_next_is_believed_unless_it_counts_more_than_it_holds(
    total: int | None, is_whole: bool
) -> None:
    reading = PageReading(offset=0, size=10, reading=1, rows=9, next_offset=None, total_count=total)
    assert reading.is_whole_list is is_whole
    assert not replace(reading, offset=10).is_whole_list
    assert not replace(reading, next_offset=10).is_whole_list
    walk = BackToFront(page_size=10, bounded=True)
    walk.record(reading)
    assert walk.is_finished is is_whole


@pytest.mark.parametrize("bounded", [True, False])
def test_a_page_that_shows_a_record_twice_makes_no_other_slip_between_two_pages(bounded: bool) -> None:
    walk = BackToFront(page_size=10, bounded=bounded)
    source = Collection(ids=list(range(45)))
    seen: set[int] = set()
    while not walk.is_finished:
        for turn in walk.ready():
            reading, rows = source.answer(turn)
            seen.update(rows)
            walk.record(replace(reading, rows=reading.rows + 1))
    assert seen == set(range(45))


def test_one_record_behind_the_end_that_its_page_counts_takes_the_trust_in_counts() -> None:
    walk = BackToFront(page_size=10, bounded=True)
    for offset, rows, following, total in ((0, 10, 10, 21), (20, 1, None, 20)):
        walk.ready()
        walk.record(PageReading(offset=offset, size=10, reading=1, rows=rows, next_offset=following, total_count=total))
    assert walk.is_miscounted
    assert walk.is_strict
