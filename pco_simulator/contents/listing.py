"""What can be listed page by page: an invented collection or a recorded list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pco_catalog.catalog import Entity

_BEGINNINGS: Final = ("starts_at", "sort_date")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFacts:
    """What a list can be asked; the rest is ignored. `dates` are the attributes that are days without a time.

    `begins` is the attribute that says when something begins, if there is one.
    """

    can_order_by: tuple[str, ...] = ()
    can_query_by: tuple[str, ...] = ()
    can_include: tuple[str, ...] = ()
    can_filter: tuple[str, ...] = ()
    ranges: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    begins: str = ""
    parent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entity: Entity, path: str, parent: Mapping[str, str]) -> "ListFacts":
        """What the catalogue says of an entity's list at a path."""
        return cls(
            can_order_by=tuple(sorted(entity.can_order_by)),
            can_query_by=tuple(sorted(entity.can_query_by)),
            can_include=tuple(sorted(entity.can_include)),
            can_filter=tuple(sorted(entity.filters_at(path))),
            ranges=entity.range_query_by,
            dates=frozenset(name for name, one in entity.attributes.items() if one.type == "date"),
            begins=next((name for name in _BEGINNINGS if name in entity.attributes), ""),
            parent=parent,
        )


def in_order(column: Mapping[int, Any], ids: Sequence[int]) -> tuple[list[str], list[int]]:
    """What `Listing.ordered` answers, from a column."""
    pairs = sorted((value[:19], one) for one in ids if isinstance(value := column[one], str))
    return [value for value, _ in pairs], [one for _, one in pairs]


class Listing(Protocol):
    """Records by a number each: their id, or their place in a recording. `ids` are in the order of the list."""

    version: int
    """Changes whenever an answer may change."""

    @property
    def name(self) -> str:
        """A name of its own."""
        ...

    @property
    def ids(self) -> Sequence[int]:
        """All records, in the default order."""
        ...

    def column(self, name: str) -> Mapping[int, Any]:
        """One attribute of all records."""
        ...

    def ordered(self, name: str) -> tuple[Sequence[str], Sequence[int]]:
        """The values of one attribute that are times, to the second and in their order, and whose they are."""
        ...

    def document(self, identifier: int) -> Mapping[str, Any]:
        """A record as a JSON object."""
        ...

    def rendered(self, identifier: int) -> bytes:
        """A record as an element of a JSON list."""
        ...

    def asked_for(self, identifier: int, name: str) -> Any:
        """An attribute named in `fields[...]`. Raises `KeyError` for one that does not exist."""
        ...
