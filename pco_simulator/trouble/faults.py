"""Which requests meet a fault: by number, by path and offset, by chance, or by the records that lie in the page."""

import random
import re
from collections import Counter
from collections.abc import Collection as Ids
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pco_simulator.answering.query import ListQuery
from pco_simulator.trouble import lapses
from pco_simulator.trouble.poison import POISONS
from pco_simulator.trouble.spoiling import KINDS, Rule

MISREADINGS: Final = ("where-ignored", "order-ignored", "filter-ignored", "short-page")
"""A list ignores filters by the attribute `name`, or orders by it, though it says that it knows them; it ignores what
asks for deleted records; it shows no more than `number` records at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault(Rule):
    """A rule. What is left out matches everything.

    `kind`: a bad answer (`spoiling.py`), a poison (`poison.py`) for the record `record_id` wherever it is listed, or a
    lapse of `include` (`lapses.py`), or what a list misreads (`MISREADINGS`).
    `path`: the path exactly; `*` in it is any id, as in `/groups/v2/groups/*/memberships`. `product`: all its paths.
    `offset`: the offset asked for. `probability`: of each request that matches otherwise.
    `at_request`: not before this request, counted from 1; and once, unless `times` or `permanent` say otherwise.
    `record_id`: whenever this record is part of the answer; with the kind 500, bisecting the page finds it.
    `after`: the first so many requests that match are left alone. `times`: for so many requests.
    Raises `ValueError` for what cannot be.
    """

    path: str | None = None
    product: str | None = None
    offset: int | None = None
    at_request: int | None = None
    after: int = 0
    probability: float = 1.0
    times: int | None = None
    permanent: bool = False

    def __post_init__(self) -> None:
        known = (*KINDS, *POISONS, *lapses.KINDS, *MISREADINGS)
        if self.kind not in known:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join(known)}")
        if self.include is not None and self.kind not in lapses.KINDS:
            raise ValueError(f"the fault {self.kind!r} has nothing to do with the include {self.include!r}")
        if self.record_id is not None and self.kind == lapses.UNKNOWN:
            raise ValueError(f"{self.kind!r} is about the whole list, not about one record")
        if self.kind in POISONS and self.record_id is None:
            raise ValueError(f"the fault {self.kind!r} needs a record_id")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability of {self.probability} cannot be")
        if self.after < 0:
            raise ValueError(f"a fault after {self.after} requests cannot be")
        if self.number < (0 if self.kind == lapses.CUT else 1):
            raise ValueError(f"a number of {self.number} cannot be")

    def is_at(self, path: str) -> bool:
        """Whether it happens at this path."""
        if self.product is not None and path.split("/")[1:2] != [self.product]:
            return False
        if self.path is None or "*" not in self.path:
            return self.path in (None, path)
        return re.fullmatch("[^/]+".join(map(re.escape, self.path.split("*"))), path) is not None

    @property
    def allowed(self) -> int | None:
        """How often it may happen; None: always."""
        if self.permanent:
            return None
        return 1 if self.times is None and self.at_request is not None else self.times


class FaultPlan:
    """The faults in force. Chance is seeded, so the same requests in the same order meet the same faults."""

    def __init__(self, seed: int) -> None:
        self.fired: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._armed: list[_Armed] = []

    def replace(self, faults: list[Fault]) -> None:
        """Put other faults in force, with nothing used up."""
        self._armed = [_Armed(fault=fault, left=fault.allowed, spared=fault.after) for fault in faults]

    def misread(self, query: ListQuery, *, number: int, path: str) -> ListQuery:
        """The request as the list at `path` reads it."""
        met = [
            armed.fault
            for armed in self._armed
            if armed.fault.kind in MISREADINGS and self._meets(armed, number, path, query.offset, ())
        ]
        for fault in met:
            self.use(fault)
            query = _misread(query, fault)
        return query

    def bad_answer(self, *, number: int, path: str, offset: int, ids: Ids[int]) -> Fault | None:
        """The fault that the answer to this request becomes; the first one that matches."""
        for armed in self._armed:
            if armed.fault.kind in KINDS and self._meets(armed, number, path, offset, ids):
                self.use(armed.fault)
                return armed.fault
        return None

    def poisons(self, *, number: int, path: str, offset: int, ids: Ids[int]) -> dict[int, str]:
        """The records of this answer that are spoilt, and how."""
        found: dict[int, str] = {}
        for armed in self._armed:
            if armed.fault.kind in POISONS and self._meets(armed, number, path, offset, ids):
                self.use(armed.fault)
                found[int(armed.fault.record_id or 0)] = armed.fault.kind
        return found

    def lapses(self, *, number: int, path: str, offset: int, ids: Ids[int], names: Sequence[str]) -> lapses.Lapses:
        """What goes wrong with the includes of this answer. Whether one is too big is known only later."""
        edges = {None, *lapses.edges_of(names)} if names else set()
        found = [
            armed.fault
            for armed in self._armed
            if armed.fault.kind in lapses.KINDS
            and armed.fault.include in edges
            and self._meets(armed, number, path, offset, ids)
        ]
        for fault in found:
            if fault.kind != lapses.TOO_BIG:
                self.use(fault)
        return lapses.Lapses(found)

    def use(self, rule: Rule) -> None:
        """Count that a fault has happened."""
        for armed in self._armed:
            if armed.fault is rule:
                armed.left = None if armed.left is None else armed.left - 1
        self.fired[rule.kind] += 1

    def _meets(self, armed: "_Armed", number: int, path: str, offset: int, ids: Ids[int]) -> bool:
        fault = armed.fault
        is_met = (
            armed.left != 0
            and fault.is_at(path)
            and fault.offset in (None, offset)
            and (fault.at_request is None or number >= fault.at_request)
            and (fault.record_id is None or int(fault.record_id) in ids)
            and (fault.probability >= 1 or self._chance.random() < fault.probability)
        )
        if is_met and armed.spared:
            armed.spared -= 1
            return False
        return is_met


def _misread(query: ListQuery, rule: Rule) -> ListQuery:
    match rule.kind:
        case "where-ignored":
            return replace(query, where=tuple(one for one in query.where if one.attribute != rule.name))
        case "order-ignored":
            return replace(query, order=tuple(one for one in query.order if one.removeprefix("-") != rule.name))
        case "filter-ignored":
            return replace(query, shows_deleted=False)
    return replace(query, per_page=min(query.per_page, rule.number))


@dataclass(slots=True)
class _Armed:
    """A fault in force: how often it may happen yet (None: always), and how many requests are left alone first."""

    fault: Fault
    left: int | None
    spared: int
