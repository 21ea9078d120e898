"""A walk sees every record that stays, whatever leaves or is appended while pages are in flight."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.walk import PageReading, PageTurn, Walk
from tests.histories import histories


@dataclass
class Collection:
    """A source in id order. Counts as told to: honestly, capped, or not at all."""

    ids: list[int]
    count_cap: int | None = None
    counts: bool = True
    page_cap: int = 1000

    def answer(self, turn: PageTurn) -> tuple[PageReading, list[int]]:
        size = min(turn.size, self.page_cap)
        rows = self.ids[turn.offset : turn.offset + size]
        more = turn.offset + size < len(self.ids)
        total = len(self.ids) if self.count_cap is None else min(len(self.ids), self.count_cap)
        reading = PageReading(
            offset=turn.offset,
            size=turn.size,
            reading=turn.reading,
            rows=len(rows),
            next_offset=turn.offset + size if more else None,
            total_count=total if self.counts else None,
        )
        return reading, rows


@dataclass
class Reader:
    """Runs a walk with several pages in flight; the test decides which request is answered when."""

    walk: Walk
    source: Collection
    seen: set[int] = field(default_factory=set)
    waiting: list[PageTurn] = field(default_factory=list)
    in_flight: list[PageTurn] = field(default_factory=list)
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


def read_all(walk: Walk, source: Collection) -> Reader:
    reader = Reader(walk=walk, source=source)
    reader.finish()
    return reader


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25, 95])
def test_a_quiet_collection_costs_one_request_per_page(count: int) -> None:
    reader = read_all(Walk(page_size=10, bounded=True), Collection(ids=list(range(count))))
    assert reader.seen == set(range(count))
    assert len(reader.committed) == max(1, -(-count // 10))
    assert reader.walk.page_count == max(1, -(-count // 10))
    assert not reader.walk.is_strict


def test_pages_are_asked_for_back_to_front_after_the_first() -> None:
    walk = Walk(page_size=10, bounded=True)
    source = Collection(ids=list(range(45)))
    (first,) = walk.ready()
    walk.record(source.answer(first)[0])
    assert [turn.offset for turn in walk.ready()] == [40, 30, 20, 10]


def test_a_page_size_that_pco_caps_is_learned_from_the_first_page() -> None:
    reader = read_all(Walk(page_size=500, bounded=True), Collection(ids=list(range(950)), page_cap=100))
    assert reader.seen == set(range(950))
    assert len(reader.committed) == 10


@pytest.mark.parametrize(("counts", "count_cap"), [(False, None), (True, 30), (True, 1)])
def test_a_missing_or_capped_count_is_not_trusted(counts: bool, count_cap: int | None) -> None:
    source = Collection(ids=list(range(95)), counts=counts, count_cap=count_cap)
    reader = read_all(Walk(page_size=10, bounded=True), source)
    assert reader.walk.is_strict
    assert reader.seen == set(range(95))


def test_an_unbounded_collection_is_read_one_page_at_a_time() -> None:
    walk = Walk(page_size=10, bounded=False)
    source = Collection(ids=list(range(45)))
    order = []
    while not walk.is_finished:
        (turn,) = walk.ready()
        order.append(turn.offset)
        walk.record(source.answer(turn)[0])
    assert order == [0, 40, 30, 20, 10, 0]


def test_a_collection_that_never_stands_still_is_read_one_page_at_a_time_in_the_end() -> None:
    walk = Walk(page_size=100, bounded=True, patience=1)
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
    walk = Walk(page_size=10, bounded=True, patience=500)
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
    walk = Walk(page_size=10, bounded=False, patience=500)
    source = Collection(ids=list(range(count)), counts=counts, count_cap=count_cap)
    reader = Reader(walk=walk, source=source)
    expected = drive(reader, steps, appends=True)
    assert expected <= reader.seen


@histories(100)
@given(count=st.integers(0, 120), steps=STEPS, limit=st.integers(1, 8), bounded=st.booleans())
def test_a_continued_walk_reads_no_committed_page_again_and_misses_nothing(
    count: int, steps: list[tuple[str, int]], limit: int, bounded: bool
) -> None:
    walk = Walk(page_size=10, bounded=bounded, patience=500)
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

    again = Walk(page_size=10, bounded=bounded, patience=500)
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
    reader = Reader(walk=Walk(page_size=10, bounded=True), source=Collection(ids=list(range(count))))
    reader.limit = limit
    drive(reader, steps, appends=True)
    assert reader.walk.is_finished
