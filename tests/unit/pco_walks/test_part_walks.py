"""The parts of a run together miss nothing, with several requests in flight, whatever happens to the list meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part, divide
from pco_walks.walk import PageReading, PageToRead
from pco_walks.window import Window
from tests.histories import histories
from tests.unit.pco_walks.test_parts import is_asked_for

START = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = START + timedelta(seconds=1000)
PAGE = 5


@dataclass
class Source:
    """A list by id, with when each record was created and changed."""

    times: dict[int, tuple[datetime, datetime]]
    now: datetime = UNTIL + timedelta(seconds=1)

    def ids_in(self, window: Window) -> list[int]:
        return [one for one, times in sorted(self.times.items()) if is_asked_for(window, *times)]


@dataclass
class Reader:
    """Reads all parts with several requests in flight; the test decides which is answered when."""

    walks: PartWalks
    source: Source
    limit: int
    waiting: list[tuple[int, PageToRead]] = field(default_factory=list)
    in_flight: list[tuple[int, PageToRead]] = field(default_factory=list)
    answered: list[tuple[int, PageReading, list[int]]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    deepest: int = 0

    def send(self) -> None:
        self.waiting.extend(self.walks.ready())
        while self.waiting and len(self.in_flight) + len(self.answered) < self.limit:
            self.in_flight.append(self.waiting.pop(0))

    def answer(self, index: int) -> None:
        if not self.in_flight:
            return
        number, turn = self.in_flight.pop(index % len(self.in_flight))
        listed = self.source.ids_in(self.walks.parts[number].window)
        rows, end = listed[turn.offset : turn.offset + turn.size], turn.offset + turn.size
        self.deepest = max(self.deepest, turn.offset)
        reading = PageReading(
            offset=turn.offset,
            size=turn.size,
            reading=turn.reading,
            rows=len(rows),
            next_offset=end if end < len(listed) else None,
            total_count=len(listed),
        )
        self.answered.append((number, reading, rows))

    def arrive(self, index: int) -> None:
        if self.answered:
            number, reading, rows = self.answered.pop(index % len(self.answered))
            self.seen.update(rows)
            self.walks.record(number, reading)

    def finish(self) -> None:
        while not self.walks.is_finished:
            self.send()
            assert self.in_flight or self.answered, "the walks are not finished and ask for nothing"
            self.answer(0)
            self.arrive(0)


def parts_of(window: Window, source: Source, *, most: int, second: str | None) -> list[Part]:
    dividing = divide(window, len(source.ids_in(window)), most=most, second=second)
    try:
        asked = next(dividing)
        while True:
            asked = dividing.send(len(source.ids_in(asked)))
    except StopIteration as done:
        return [Part(number=number, window=one) for number, one in enumerate(done.value, start=1)]


SECONDS = st.one_of(st.integers(0, 1000), st.integers(400, 402))
TIMES = st.lists(st.tuples(SECONDS, SECONDS).map(sorted), max_size=80)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "answer", "answer", "arrive", "edit", "delete", "create"]), st.integers(0, 10_000)
    ),
    max_size=120,
)


def play(reader: Reader, window: Window, actions: Sequence[tuple[str, int]]) -> set[int]:
    """Play the actions and finish in quiet; the records of the window that nobody touched meanwhile."""
    source = reader.source
    expected = set(source.ids_in(window))
    for action, number in actions:
        source.now += timedelta(seconds=number % 2)
        living = sorted(source.times)
        if action == "send":
            reader.send()
        elif action == "answer":
            reader.answer(number)
        elif action == "arrive":
            reader.arrive(number)
        elif action == "create":
            source.times[10_000 + len(source.times) + number] = (source.now, source.now)
        elif living:
            one = living[number % len(living)]
            expected.discard(one)
            if action == "edit":
                source.times[one] = (source.times[one][0], source.now)
            else:
                del source.times[one]
    reader.finish()
    return expected


def source_of(times: Sequence[Sequence[int]]) -> Source:
    moments = [(START + timedelta(seconds=created), START + timedelta(seconds=changed)) for created, changed in times]
    return Source(times=dict(enumerate(moments)))


@histories(100)
@given(times=TIMES, actions=ACTIONS, most=st.integers(5, 20), limit=st.integers(1, 6))
def test_a_full_walk_in_windows_of_creation_misses_nobody(
    times: Sequence[Sequence[int]], actions: Sequence[tuple[str, int]], most: int, limit: int
) -> None:
    """Who is changed meanwhile stays in the window, and is seen, too."""
    source, whole = source_of(times), Window(attribute="created_at", since=None, until=UNTIL)
    walks = PartWalks(parts_of(whole, source, most=most, second=None), page_size=PAGE)
    reader = Reader(walks=walks, source=source, limit=limit)
    before = set(source.times)
    play(reader, whole, actions)
    assert before & set(source.times) <= reader.seen


@histories(100)
@given(times=TIMES, actions=ACTIONS, most=st.integers(5, 20), limit=st.integers(1, 6), since=st.integers(0, 600))
def test_a_delta_in_windows_of_change_misses_nobody_who_stays_as_he_is(
    times: Sequence[Sequence[int]], actions: Sequence[tuple[str, int]], most: int, limit: int, since: int
) -> None:
    """Who is changed meanwhile leaves the window: the next delta sees him."""
    source = source_of(times)
    delta = Window(attribute="updated_at", since=START + timedelta(seconds=since), until=UNTIL)
    walks = PartWalks(parts_of(delta, source, most=most, second="created_at"), page_size=PAGE)
    reader = Reader(walks=walks, source=source, limit=limit)
    assert play(reader, delta, actions) <= reader.seen


def test_no_offset_is_deeper_than_a_part_is_long() -> None:
    source = source_of([(number * 3 % 1000, 0) for number in range(400)])
    whole = Window(attribute="created_at", since=None, until=UNTIL)
    walks = PartWalks(parts_of(whole, source, most=20, second=None), page_size=PAGE)
    reader = Reader(walks=walks, source=source, limit=4)
    play(reader, whole, [])
    assert len(reader.seen) == 400
    assert reader.deepest < 20
    assert walks.page_count is not None
    assert walks.page_count >= 80


def test_the_only_part_is_one_that_has_no_others_beside_it() -> None:
    window = Window(attribute="created_at", since=None, until=UNTIL)
    one, other = Part(number=1, window=window), Part(number=2, window=window)
    assert PartWalks([one], page_size=PAGE).only_part == one
    assert PartWalks([one, other], page_size=PAGE).only_part is None


def test_how_many_pages_there_are_is_known_once_it_is_of_every_part() -> None:
    window = Window(attribute="updated_at", since=START, until=UNTIL)
    walks = PartWalks([Part(number=number, window=window) for number in (1, 2)], page_size=PAGE)
    reading = PageReading(offset=0, size=PAGE, reading=1, rows=1, next_offset=None, total_count=1)
    walks.record(1, reading)
    assert (walks.page_count, walks.is_finished) == (None, False)
    walks.record(2, reading)
    assert (walks.page_count, walks.is_finished) == (2, True)


def test_only_a_window_of_everything_until_a_time_opens_with_the_whole_list() -> None:
    full = Window(attribute="created_at", since=None, until=UNTIL)
    delta = Window(attribute="updated_at", since=START, until=UNTIL)
    walks = PartWalks([Part(number=0, window=full), Part(number=1, window=delta)], page_size=PAGE)
    assert {number: turn.whole for number, turn in walks.ready()} == {0: True, 1: False}


def test_an_end_that_is_moved_leaves_the_walk_as_it_is() -> None:
    full = Window(attribute="created_at", since=None, until=UNTIL)
    walks = PartWalks([Part(number=0, window=full)], page_size=PAGE)
    walk, later = walks.walks[0], Window(attribute="created_at", since=None, until=UNTIL + timedelta(seconds=9))
    walks.move_end(0, later)
    assert walks.only_part == Part(number=0, window=later)
    assert walks.walks[0] is walk


def test_what_is_answered_for_a_part_that_was_replaced_proves_nothing() -> None:
    walks = PartWalks([Part(number=1, window=Window(attribute="created_at", since=None, until=UNTIL))], page_size=PAGE)
    ((number, turn),) = walks.ready()
    walks.replace([Part(number=2, window=Window(attribute="created_at", since=None, until=UNTIL))])
    reading = PageReading(offset=0, size=turn.size, reading=turn.reading, rows=0, next_offset=None, total_count=0)
    walks.record(number, reading)
    assert not walks.is_finished
    walks.record(2, reading)
    assert walks.is_finished
