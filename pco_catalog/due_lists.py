"""When a list below a parent is due, and below which parents it is read: rules reviewed by hand, in `due_lists.json`.

Age is the contract: each list is read once in `every_days`. A change of one of the parent's attributes in `watch`, or a
hot window, makes a list due earlier; nothing makes it due later. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.chains import Chain, chain_to

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class HotWindow:
    """A list is read that many `days` after the time that its parent's attribute `at` says; before it, if negative.

    `full` are the first and the last of the days on which a full sync wants it; None: it always does.
    """

    at: str
    days: tuple[int, ...]
    full: tuple[int, int] | None = None

    def paces(self, period_seconds: int) -> tuple[int, ...]:
        """For each of the days, how long the list may wait then: until the next day, which makes up for this one."""
        gaps = (later - earlier for earlier, later in zip(self.days, self.days[1:], strict=False))
        return (*(gap * DAY_SECONDS for gap in gaps), period_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueRule:
    """The rule of one kind of lists.

    `watch` are attributes of the parent, or its relationships to many: a change of one makes the list due. `only`: an
    attribute of the parent without which the list is empty for certain; `only_after`: one before whose time it is.
    `rare` ones are read after all others, and a full sync leaves them to the nights unless patterns choose them; what
    is below a rare kind is rare, too. `named_by` are an entity and a column each: patterns other than the kind's
    name choose the lists of the parents whose ids stand there, and leave the others to the nights. `ways` are chains of
    parents that tell the same, the one that is usually the cheapest first.
    """

    every_days: int
    watch: tuple[str, ...] = ()
    hot: HotWindow | None = None
    only: str | None = None
    only_after: str | None = None
    is_rare: bool = False
    named_by: tuple[tuple[str, str], ...] = ()
    ways: tuple[tuple[str, ...], ...] = ()

    @property
    def period_seconds(self) -> int:
        """The longest time between two readings."""
        return self.every_days * DAY_SECONDS

    def is_whole_in(self, include: Sequence[str], name: str) -> bool:
        """Whether a full sync that chooses by `include` wants all lists of the kind called `name`.

        Any pattern makes it read what a sync without one leaves to the nights, but of lists that others name only the
        kind's own name makes it read all.
        """
        if any(pattern.lower() == name.lower() for pattern in include):
            return True
        return not self.named_by and (bool(include) or self.hot is None or self.hot.full is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueRules:
    """The rules of all kinds; `first` are patterns of what is wanted first, in this order, `then` of what follows."""

    every_days: int
    rare_every_days: int
    rare: frozenset[str]
    first: tuple[str, ...]
    then: tuple[str, ...]
    kinds: Mapping[str, Mapping[str, Any]]

    def of(self, entity: Entity) -> DueRule:
        """The rule of one kind."""
        told = self.kinds.get(entity.name, {})
        is_rare = entity.name in self.rare
        hot = told.get("hot")
        return DueRule(
            every_days=told.get("every_days", self.rare_every_days if is_rare else self.every_days),
            watch=tuple(told.get("watch", ())),
            hot=None if hot is None else _hot_window(hot),
            only=told.get("only"),
            only_after=told.get("only_after"),
            is_rare=is_rare,
            named_by=tuple(_column(one) for one in told.get("named_by", ())),
            ways=tuple(tuple(way) for way in told.get("ways", ())),
        )

    def rank(self, entity: Entity) -> tuple[bool, int]:
        """Sorts kinds by how much they are wanted; rare ones come last."""
        order = (*self.first, *self.then)
        place = next((at for at, one in enumerate(order) if fnmatchcase(entity.name, one)), len(order))
        return entity.name in self.rare, place

    def is_first(self, entity: Entity) -> bool:
        """Whether a kind is read before what is not."""
        return self.rank(entity) < (False, len(self.first))


def _hot_window(told: Mapping[str, Any]) -> HotWindow:
    full = told.get("full")
    return HotWindow(at=told["at"], days=tuple(told["days"]), full=None if full is None else (full[0], full[1]))


def _column(told: str) -> tuple[str, str]:
    entity, _, column = told.rpartition(".")
    return entity, column


@lru_cache(maxsize=1)
def load_due_rules() -> DueRules:
    """The rules, read once per process."""
    told = json.loads(resources.files("pco_catalog").joinpath("due_lists.json").read_text(encoding="utf-8"))
    return DueRules(
        every_days=told["every_days"],
        rare_every_days=told["rare_every_days"],
        rare=frozenset(told["rare"]),
        first=tuple(told["first"]),
        then=tuple(told["then"]),
        kinds=told["kinds"],
    )


def cheapest_chain(catalog: Catalog, entity: Entity, counts: Mapping[str, int]) -> Chain:
    """Of the chains that tell the same, the one with the fewest lists.

    `counts` are records by the parents' names, as far as they are known. Where no kind of parent has been counted, or
    no choice was reviewed, it is the usual chain. Raises `NoChainError`.
    """
    ways: Sequence[tuple[str, ...] | None] = load_due_rules().of(entity).ways or (None,)
    chains = [chain_to(catalog, entity, way) for way in ways]
    counted = [chain for chain in chains if chain.names[-1] in counts]
    return min(counted, key=lambda chain: counts[chain.names[-1]], default=chains[0])
