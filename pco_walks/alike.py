"""Notices a list that has no end: page after page shows the same, or nothing, and names a next one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

MOST_ALIKE: Final = 20


class EndlessListError(Exception):
    """The source names a next page again and again, and shows nothing new there."""

    def __init__(self, offset: int, pages: int) -> None:
        super().__init__(f"the list has no end: up to offset {offset}, {pages} pages showed the same and named a next")
        self.offset = offset
        self.pages = pages

    def __reduce__(self) -> tuple[type["EndlessListError"], tuple[int, int]]:
        return type(self), (self.offset, self.pages)


@dataclass(kw_only=True)
class Alike:
    """Which pages of a run showed the same records, in the order of the answers.

    Records move towards the front while a list is read, so that the same ones at ever greater offsets are no movement.
    """

    _last: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """By part and records: how many pages there were, and the offset of the last."""

    def note(self, *, part: int, offset: int, ids: Sequence[str]) -> None:
        """A page that names a next one has shown these. Raises `EndlessListError` when it is one too many."""
        key = (part, hash(tuple(ids)))
        pages, before = self._last.get(key, (0, -1))
        if offset <= before:
            return
        if pages >= MOST_ALIKE:
            raise EndlessListError(offset, pages)
        self._last[key] = (pages + 1, offset)
