"""What a path leads to."""

from collections.abc import Sequence
from dataclasses import dataclass

from pco_simulator.answering.answers import Answer
from pco_simulator.contents.listing import ListFacts, Listing


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPlace:
    """A path that is a list: all of `listing`, or the `ids` below one parent. `type` is that of its records."""

    listing: Listing
    facts: ListFacts
    ids: Sequence[int] | None = None
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordPlace:
    """A path that is one record."""

    listing: Listing
    facts: ListFacts
    id: int
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NoRecord:
    """A path of a known list that leads to a record that is not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedPlace:
    """A path and a query to which there is one answer."""

    answer: Answer


Place = ListPlace | RecordPlace | NoRecord | FixedPlace
