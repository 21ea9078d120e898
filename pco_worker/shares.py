"""How many of a worker's places the runs of some work queues may take together."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class SharesError(ValueError):
    """The setting cannot be read; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Bound:
    """So many places at most, for the runs of these queues together; of every queue if none is named."""

    queues: frozenset[str]
    most: int

    def names(self, queue: str) -> bool:
        """Whether a run of the queue counts."""
        return not self.queues or queue in self.queues

    def held(self, taken: Mapping[str, int]) -> int:
        """How many places such runs have, when so many of each queue are held."""
        return sum(taken.get(one, 0) for one in self.queues or taken)


@dataclass(frozen=True, slots=True)
class Shares:
    """What bounds a worker: all of its places, and the shares of some queues. Other queues may take every place."""

    bounds: tuple[Bound, ...]

    @classmethod
    def parse(cls, words: str, *, limit: int) -> "Shares":
        """Such as `fast+slow=0.9,slow=0.3`: shares of `limit`, rounded up. Raises `SharesError`.

        `fast+slow=-0.1` is all but a tenth, and but one at least: so much is left to the queues that it does not name.
        No share is less than one place.
        """
        bounds = [Bound(frozenset(), limit)]
        for one in filter(None, (part.strip() for part in words.split(","))):
            queues, _, share = one.partition("=")
            names = frozenset(name.strip() for name in queues.split("+"))
            try:
                part = float(share)
            except ValueError:
                part = 0.0
            if not all(names) or not (0 < part <= 1 or -1 < part < 0):
                raise SharesError(f"PCO_WORKER_SHARES: {one!r} is not such as background=0.3, a share of 1 at most")
            places = max(math.ceil(round(limit * abs(part), 6)), 1)
            bounds.append(Bound(names, places if part > 0 else max(limit - places, 1)))
        return cls(tuple(bounds))

    @property
    def tell_queues_apart(self) -> bool:
        """Whether some queue has a share of its own."""
        return len(self.bounds) > 1

    def room(self, queue: str, taken: Mapping[str, int]) -> int:
        """How many more runs of the queue may be taken, when so many of each are held."""
        return max(min(bound.most - bound.held(taken) for bound in self.bounds if bound.names(queue)), 0)

    def reached(self, taken: Mapping[str, int]) -> tuple[Bound, ...]:
        """The bounds that keep runs waiting."""
        return tuple(bound for bound in self.bounds if bound.held(taken) >= bound.most)


def are_half_free(bounds: Iterable[Bound], taken: Mapping[str, int]) -> bool:
    """Whether half of the places of each bound is free."""
    return all(2 * bound.held(taken) <= bound.most for bound in bounds)
