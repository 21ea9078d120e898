"""From the newest record on nothing in the window is missed, whatever changes, leaves or comes meanwhile."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_walks.newest_first import NewestFirst, WalkStuckError
from pco_walks.walk import PageReading, PageToRead
from tests.histories import histories


@dataclass
class Source:
    """Records by id, with the time of their last change; the list is ordered by `-updated_at`, ties by id."""

    times: dict[int, int]
    clock: int = 1000

    def ordered(self) -> list[int]:
        return sorted(self.times, key=lambda one: (-self.times[one], one))


@dataclass
class Reader:
    """Does what the page task does: tells the walk what it has seen before, and whether the window was reached."""

    walk: NewestFirst
    source: Source
    since: int
    proven: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    committed: list[PageReading] = field(default_factory=list)
    turns: list[PageToRead] = field(default_factory=list)

    def step(self) -> bool:
        self.turns.extend(self.walk.ready())
        if not self.turns:
            return False
        turn, listed = self.turns.pop(0), self.source.ordered()
        rows = listed[turn.offset : turn.offset + turn.size]
        end = turn.offset + turn.size
        before = len(self.proven.intersection(rows))
        reading = PageReading(
            offset=turn.offset,
            size=turn.size,
            reading=turn.reading,
            rows=len(rows),
            next_offset=end if end < len(listed) else None,
            total_count=len(listed),
            reached=any(self.source.times[one] < self.since for one in rows),
            seen_before=before,
        )
        if turn.offset == 0 or before:
            self.proven.update(rows)
        self.seen.update(rows)
        self.committed.append(reading)
        self.walk.record(reading)
        return True

    def finish(self) -> None:
        while not self.walk.is_finished:
            assert self.step(), "the walk is not finished and asks for nothing"


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["read", "read", "edit", "delete", "create"]), st.integers(0, 10_000)), max_size=80
)


def play(reader: Reader, actions: list[tuple[str, int]]) -> set[int]:
    """Play the actions; the records of the window that nobody touched meanwhile: they must have been seen."""
    source = reader.source
    expected = {one for one, at in source.times.items() if at >= reader.since}
    for action, number in actions:
        living = source.ordered()
        if action == "read":
            reader.step()
        elif action == "create":
            source.clock += 1
            source.times[100_000 + len(source.times) + source.clock] = source.clock
        elif living:
            start = number % len(living)
            for one in living[start : start + 1 + number % 13]:
                expected.discard(one)
                if action == "edit":
                    source.clock += number % 2
                    source.times[one] = source.clock
                else:
                    del source.times[one]
    return expected


@histories(150)
@given(times=st.lists(st.integers(0, 60), max_size=90), since=st.integers(0, 60), actions=ACTIONS)
def test_nothing_of_the_window_is_missed(times: list[int], since: int, actions: list[tuple[str, int]]) -> None:
    walk = NewestFirst(page_size=8, max_readings=500)
    reader = Reader(walk=walk, source=Source(times=dict(enumerate(times))), since=since)
    expected = play(reader, actions)
    reader.finish()
    assert expected <= reader.seen


@histories(100)
@given(times=st.lists(st.integers(0, 60), max_size=90), since=st.integers(0, 60), actions=ACTIONS)
def test_a_continued_walk_reads_no_committed_page_again(
    times: list[int], since: int, actions: list[tuple[str, int]]
) -> None:
    source = Source(times=dict(enumerate(times)))
    before = Reader(walk=NewestFirst(page_size=8, max_readings=500), source=source, since=since)
    expected = play(before, actions)

    again = NewestFirst(page_size=8, max_readings=500)
    assert again.replay(before.committed) == len(before.committed)
    after = Reader(walk=again, source=source, since=since, proven=before.proven, seen=set(before.seen))
    after.finish()
    assert expected <= after.seen
    read = {(one.offset, one.reading) for one in before.committed}
    assert not read & {(one.offset, one.reading) for one in after.committed}


def test_a_quiet_day_costs_one_request() -> None:
    source = Source(times=dict.fromkeys(range(1000), 5) | {1000: 50, 1001: 51})
    reader = Reader(walk=NewestFirst(page_size=100), source=source, since=40)
    reader.finish()
    assert len(reader.committed) == 1
    assert reader.walk.page_count == 1


def test_a_page_of_one_record_still_overlaps() -> None:
    reader = Reader(walk=NewestFirst(page_size=1), source=Source(times={1: 1, 2: 2, 3: 3}), since=0)
    reader.finish()
    assert reader.seen == {1, 2, 3}


def test_a_list_that_never_stands_still_is_reported() -> None:
    walk = NewestFirst(page_size=10, max_readings=3)
    readings: dict[int, list[int]] = {}

    def read_what_slips_past_every_time() -> None:
        for _ in range(100):
            for turn in walk.ready():
                readings.setdefault(turn.offset, []).append(turn.reading)
                walk.record(
                    PageReading(
                        offset=turn.offset,
                        size=turn.size,
                        reading=turn.reading,
                        rows=10,
                        next_offset=turn.offset + 10,
                        total_count=None,
                    )
                )

    with pytest.raises(WalkStuckError) as stuck:
        read_what_slips_past_every_time()
    assert readings[0] == [1, 2, 3]
    assert len(readings[stuck.value.offset]) == stuck.value.readings == 3


def page_at(walk: NewestFirst, *, seen_before: int, following: int | None = None) -> int:
    """Answer the page that the walk wants; where it wants to read next."""
    (turn,) = walk.ready()
    walk.record(
        PageReading(
            offset=turn.offset,
            size=turn.size,
            reading=turn.reading,
            rows=turn.size,
            next_offset=turn.offset + turn.size if following is None else following,
            total_count=None,
            seen_before=seen_before,
        )
    )
    (queued,) = walk._queue
    return queued.offset


def test_what_may_have_slipped_past_is_looked_for_half_a_page_further_in_front_down_to_the_very_first_record() -> None:
    walk = NewestFirst(page_size=10)
    assert page_at(walk, seen_before=0) == 9, "the last record of the page before is read again"
    assert page_at(walk, seen_before=0) == 4
    assert page_at(walk, seen_before=0) == 0, "no record is in front of that one"
    assert page_at(walk, seen_before=0) == 9


def test_a_proven_page_leads_to_its_own_last_record() -> None:
    walk = NewestFirst(page_size=10)
    page_at(walk, seen_before=0)
    assert page_at(walk, seen_before=1) == 18
    assert page_at(walk, seen_before=1, following=19) == 19, "it moves on in any case"


def test_a_page_that_begins_with_the_second_record_is_not_taken_for_the_first() -> None:
    walk = NewestFirst(page_size=2)
    assert page_at(walk, seen_before=0) == 1
    assert page_at(walk, seen_before=0) == 0


def test_in_small_pages_it_steps_back_by_one_record() -> None:
    walk = NewestFirst(page_size=2)
    page_at(walk, seen_before=0)
    assert page_at(walk, seen_before=1, following=4) == 3
    assert page_at(walk, seen_before=0) == 2
