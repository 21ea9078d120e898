"""Which entity tells that records of another one were merged: the removed one is gone, and lives on as the kept one."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Merger:
    """`told_by` names, in its attributes `kept` and `removed`, two records of the entity `of`."""

    told_by: str
    of: str
    kept: str
    removed: str


MERGERS: Final = (
    Merger(told_by="people.PersonMerger", of="people.Person", kept="person_to_keep_id", removed="person_to_remove_id"),
)


def mergers_about(entity: str) -> tuple[Merger, ...]:
    """Those that an entity tells of, or is told of."""
    return tuple(one for one in MERGERS if entity in (one.told_by, one.of))
