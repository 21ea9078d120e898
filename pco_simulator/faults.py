"""Which requests meet a fault: by number, by path and offset, by chance, or by the records that lie in the page."""

import random
import re
from collections import Counter
from collections.abc import Collection as Ids
from dataclasses import dataclass

from pco_simulator.poison import POISONS
from pco_simulator.spoiling import KINDS, Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault(Rule):
    """A rule. What is left out matches everything.

    `kind`: a bad answer (`spoiling.py`), or a poison (`poison.py`) for the record `record_id` wherever it is listed.
    `path`: the path exactly; `*` in it is any id, as in `/groups/v2/groups/*/memberships`. `product`: all its paths.
    `offset`: the offset asked for. `probability`: of each request that matches otherwise.
    `at_request`: not before this request, counted from 1; and once, unless `times` or `permanent` say otherwise.
    `record_id`: whenever this record is part of the answer; with the kind 500, bisecting the page finds it.
    `times`: for so many requests. Raises `ValueError` for what cannot be.
    """

    path: str | None = None
    product: str | None = None
    offset: int | None = None
    at_request: int | None = None
    record_id: str | int | None = None
    probability: float = 1.0
    times: int | None = None
    permanent: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS and self.kind not in POISONS:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join((*KINDS, *POISONS))}")
        if self.kind in POISONS and self.record_id is None:
            raise ValueError(f"the fault {self.kind!r} needs a record_id")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability of {self.probability} cannot be")
        if self.number < 1:
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
        self._faults: list[tuple[Fault, int | None]] = []

    def replace(self, faults: list[Fault]) -> None:
        """Put other faults in force, with nothing used up."""
        self._faults = [(fault, fault.allowed) for fault in faults]

    def bad_answer(self, *, number: int, path: str, offset: int, ids: Ids[int]) -> Fault | None:
        """The fault that the answer to this request becomes; the first one that matches."""
        for place, (fault, left) in enumerate(self._faults):
            if fault.kind in KINDS and self._meets(fault, left, number, path, offset, ids):
                self._use(place)
                return fault
        return None

    def poisons(self, *, number: int, path: str, offset: int, ids: Ids[int]) -> dict[int, str]:
        """The records of this answer that are spoilt, and how."""
        found: dict[int, str] = {}
        for place, (fault, left) in enumerate(self._faults):
            if fault.kind in POISONS and self._meets(fault, left, number, path, offset, ids):
                self._use(place)
                found[int(fault.record_id or 0)] = fault.kind
        return found

    def _meets(self, fault: Fault, left: int | None, number: int, path: str, offset: int, ids: Ids[int]) -> bool:
        return (
            left != 0
            and fault.is_at(path)
            and fault.offset in (None, offset)
            and (fault.at_request is None or number >= fault.at_request)
            and (fault.record_id is None or int(fault.record_id) in ids)
            and (fault.probability >= 1 or self._chance.random() < fault.probability)
        )

    def _use(self, place: int) -> None:
        fault, left = self._faults[place]
        self._faults[place] = (fault, None if left is None else left - 1)
        self.fired[fault.kind] += 1
