"""Compares what PCO lists with what the mirror holds, page by page. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A record as PCO lists it: its times, where it has any."""

    id: str
    updated_at: datetime | None = None
    created_at: datetime | None = None

    def is_newer_than(self, as_of: datetime) -> bool:
        """Whether it was created or changed after the mirror was last known to be complete."""
        return any(at is not None and at > as_of for at in (self.updated_at, self.created_at))


@dataclass(kw_only=True, slots=True)
class Difference:
    """Ids that differ: listed and not in the mirror, in the mirror and not listed, of another time of change.

    `newer` are not differences: PCO has changed them since the mirror was last complete.
    """

    missing: set[str] = field(default_factory=set)
    ghosts: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    newer: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)

    def __ior__(self, other: "Difference") -> "Difference":
        for name in ("missing", "ghosts", "stale", "newer", "compared"):
            getattr(self, name).update(getattr(other, name))
        return self

    @property
    def is_none(self) -> bool:
        """Nothing differs."""
        return not (self.missing or self.ghosts or self.stale)


def compare(
    shown: Iterable[Shown], mirrored: Mapping[str, datetime | None], *, as_of: datetime, has_times: bool
) -> Difference:
    """Compare a complete stretch of PCO's list with all live rows of the same stretch, by id and time of change.

    `has_times`: the entity has `updated_at`; without, a row that is there is taken to be the right one.
    """
    listed = {one.id: one for one in shown}
    found = Difference(compared=listed.keys() | mirrored.keys(), ghosts=set(mirrored.keys() - listed.keys()))
    for identity, one in listed.items():
        differs = identity not in mirrored or (has_times and mirrored[identity] != one.updated_at)
        if not differs:
            continue
        if one.is_newer_than(as_of):
            found.newer.add(identity)
        elif identity not in mirrored:
            found.missing.add(identity)
        else:
            found.stale.add(identity)
    return found


def are_in_order(ids: Sequence[str]) -> bool:
    """Whether they are numbers that grow: only then the ends of a page say which rows belong between them."""
    places = [(len(one), one) for one in ids]
    return all(one.isascii() and one.isdecimal() for one in ids) and places == sorted(set(places))
