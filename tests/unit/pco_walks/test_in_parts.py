"""A page that is read in parts proves what it may, whatever leaves between two of its parts, and ends no list early."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pco_walks.back_to_front import BackToFront
from pco_walks.in_parts import of_parts, with_parts
from pco_walks.walk import PageReading, PageToRead
from tests.histories import histories
from tests.unit.pco_walks.test_back_to_front import Collection

SIZE, PART = 4, 2


@dataclass
class InParts:
    """A page of which some parts are answered."""

    turn: PageToRead
    left: list[PageToRead]
    answered: list[PageReading] = field(default_factory=list)

    @classmethod
    def of(cls, turn: PageToRead) -> "InParts":
        end = turn.offset + turn.size
        places = range(turn.offset, end, PART)
        return cls(turn, [replace(turn, offset=one, size=min(PART, end - one)) for one in places])

    @property
    def whole(self) -> PageReading:
        turn = self.turn
        empty = PageReading(
            offset=turn.offset, size=turn.size, reading=turn.reading, rows=0, next_offset=None, total_count=None
        )
        return of_parts(empty, self.answered)


@dataclass
class PartsReader:
    """Reads every page in parts; the test decides when each is answered, and whether one is in disorder."""

    walk: BackToFront
    source: Collection
    pages: list[InParts] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    recorded: list[PageReading] = field(default_factory=list)
    committed: list[PageReading] = field(default_factory=list)

    def send(self) -> None:
        self.pages += [InParts.of(turn) for turn in self.walk.ready()]

    def answer(self, number: int, *, in_disorder: bool = False) -> None:
        if not self.pages:
            return
        page = self.pages[number % len(self.pages)]
        reading, rows = self.source.answer(page.left.pop(number % len(page.left) if in_disorder else -1))
        self.seen.update(rows)
        page.answered.append(reading)
        self.committed.append(reading)
        if not page.left:
            self.pages.remove(page)
            self.recorded.append(page.whole)
            self.committed.append(replace(page.whole, rows=0, first_count=None, is_torn=False))
            self.walk.record(page.whole)

    def finish(self) -> None:
        for _ in range(5_000):
            if self.walk.is_finished:
                return
            self.send()
            self.answer(0)
        pytest.fail("the walk does not end")


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["send", "answer", "disorder", "delete"]), st.integers(0, 10_000)), max_size=150
)


@histories(200)
@example(count=3, actions=[("send", 0), ("disorder", 0), ("delete", 0)], bounded=True)
@example(count=6, actions=[("send", 0), ("answer", 0), ("delete", 0)], bounded=True)
@given(count=st.integers(0, 24), actions=ACTIONS, bounded=st.booleans())
def test_a_walk_of_pages_in_parts_misses_nothing_that_stays(
    count: int, actions: list[tuple[str, int]], bounded: bool
) -> None:
    """Of a list without a bound pages are read one at a time, and each in order: no clock could tell otherwise."""
    walk = BackToFront(page_size=SIZE, bounded=bounded, patience=500)
    reader = PartsReader(walk, Collection(ids=list(range(count))))
    expected = set(reader.source.ids)
    for action, number in actions:
        if action == "send":
            reader.send()
        elif action == "delete" and reader.source.ids:
            expected.discard(reader.source.ids.pop(number % min(len(reader.source.ids), 3)))
        elif action in ("answer", "disorder"):
            reader.answer(number, in_disorder=action == "disorder" and bounded and not walk.is_strict)
    reader.finish()
    assert expected <= reader.seen
    assert with_parts(reader.committed)[-1] == reader.recorded[-1], "whoever continues it knows the same"


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("count", [25, 50, 100])
def test_a_strict_walk_whose_pages_are_all_read_in_parts_ends(count: int, counts: bool) -> None:
    reader = PartsReader(BackToFront(page_size=SIZE, bounded=False), Collection(ids=list(range(count)), counts=counts))
    reader.finish()
    assert reader.seen == set(range(count))
    assert len(reader.recorded) <= 2 * -(-count // SIZE) + 2


def test_a_count_that_is_capped_does_not_end_a_list_whose_part_names_a_next_page() -> None:
    source = Collection(ids=list(range(60)), count_cap=24)
    reader = PartsReader(BackToFront(page_size=SIZE, bounded=True), source)
    reader.finish()
    assert reader.seen == set(range(60))
