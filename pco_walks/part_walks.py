"""The walks of a run's parts as one: pages of all parts are read side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pco_walks.back_to_front import BackToFront
from pco_walks.in_parts import with_parts
from pco_walks.newest_first import NewestFirst
from pco_walks.parts import Part
from pco_walks.walk import PageReading, PageToRead, Walk
from pco_walks.window import Window


class PartWalks:
    """A walk for each part of a run. They are replaced together when the run is read in other parts."""

    def __init__(self, parts: Sequence[Part], *, page_size: int) -> None:
        self.page_size = page_size
        self.parts: dict[int, Part] = {}
        self.walks: dict[int, Walk] = {}
        self.replace(parts)

    @property
    def is_finished(self) -> bool:
        """Every part has its proof."""
        return all(walk.is_finished for walk in self.walks.values())

    @property
    def page_count(self) -> int | None:
        """How many pages all parts have, once that is known of each."""
        counts = [walk.page_count for walk in self.walks.values()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def only_part(self) -> Part | None:
        """The part, if there is one only."""
        return next(iter(self.parts.values())) if len(self.parts) == 1 else None

    def replace(self, parts: Sequence[Part]) -> None:
        """Read these parts from now on. What is still answered for others is stored, and proves nothing."""
        self.parts = {part.number: part for part in parts}
        self.walks = {part.number: self._walk(part) for part in parts}

    def ready(self) -> list[tuple[int, PageToRead]]:
        """The pages to read now, with the number of their part; each turn is handed out once."""
        return [(number, turn) for number, walk in self.walks.items() for turn in walk.ready()]

    def record(self, number: int, reading: PageReading) -> None:
        """Take in an answer. Raises `WalkStuckError`."""
        walk = self.walks.get(number)
        if walk is not None:
            walk.record(reading)

    def replay(self, committed: Mapping[int, Iterable[PageReading]]) -> int:
        """Continue interrupted walks: take in what was committed of each part; how many readings that were."""
        return sum(walk.replay(with_parts(committed.get(number, ()))) for number, walk in self.walks.items())

    def move_end(self, number: int, window: Window) -> None:
        """The part ends at another time than was thought; nothing of it was requested by its filter yet."""
        self.parts[number] = replace(self.parts[number], window=window)

    def _walk(self, part: Part) -> Walk:
        if part.window.is_newest_first:
            return NewestFirst(page_size=self.page_size)
        window = part.window
        return BackToFront(page_size=self.page_size, bounded=window.is_bounded, opens_whole=window.is_all_until)
