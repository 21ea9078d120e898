"""What every walk is asked and told: which page to read next, what a page showed, and when nothing was missed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class PageToRead:
    """One page to read. `reading` is 1 at first sight and grows when the page has to be read again.

    `whole`: without the window's filter.
    """

    offset: int
    size: int
    reading: int
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReading:
    """What one reading of a page showed of the collection.

    `reached` is for walks from the newest record on. `seen_before` counts records that this walk had seen: on proven
    pages of such a walk, and on the opening page of one that opens with the whole list. A page that was read in parts
    (`in_parts`) has two counts, `first_count` being that of the part read first; `is_torn`: they were read in disorder.
    """

    offset: int
    size: int
    reading: int
    rows: int
    next_offset: int | None
    total_count: int | None
    reached: bool = False
    seen_before: int = 0
    first_count: int | None = None
    is_torn: bool = False

    @property
    def is_whole_list(self) -> bool:
        """Nothing is in front of this page and nothing behind it, and the count does not contradict that."""
        return self.offset == 0 and self.next_offset is None and not self.counts_more_than_it_shows

    @property
    def counts_more_than_it_shows(self) -> bool:
        """There is no next page, and yet the count has more than could stand on this one."""
        total = self.total_count
        return self.next_offset is None and total is not None and total > self.offset + self.size


class Walk(Protocol):
    """The state of one walk over one collection.

    Take the pages to read from `ready()`, give each answer to `record()`, until `is_finished`.
    """

    is_finished: bool

    @property
    def page_count(self) -> int | None:
        """How many pages the collection has, once that is known."""

    def ready(self) -> list[PageToRead]:
        """The pages to read now, most urgent first; each is handed out once."""

    def record(self, reading: PageReading) -> None:
        """Take in an answer. Raises `WalkStuckError` when the collection changes faster than it can be read."""

    def replay(self, committed: Iterable[PageReading]) -> int:
        """Continue an interrupted walk: take in what was committed, and return how many readings that were."""
