"""How many of a worker's places the runs of some work queues may take together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


class SharesError(ValueError):
    """The setting cannot be read; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Bounds, each of some queues together, in places. A queue that none of them names may take every place."""

    limit: int
    bounds: tuple[tuple[frozenset[str], int], ...]

    @classmethod
    def parse(cls, words: str, *, limit: int) -> "Shares":
        """Such as `fast+slow=0.9,slow=0.3`: shares of `limit`, rounded up. Raises `SharesError`.

        `fast+slow=-0.1` is all but a tenth, and but one at least: so much is left to the queues that it does not name.
        """
        bounds = []
        for one in filter(None, (part.strip() for part in words.split(","))):
            queues, _, share = one.partition("=")
            names = frozenset(name.strip() for name in queues.split("+"))
            try:
                part = float(share)
            except ValueError:
                part = 0.0
            if not all(names) or not (0 < part <= 1 or -1 < part < 0):
                raise SharesError(f"PCO_WORKER_SHARES: {one!r} is not such as background=0.3, a share of 1 at most")
            places = math.ceil(round(limit * abs(part), 6))
            bounds.append((names, places if part > 0 else max(limit - places, 1)))
        return cls(limit, tuple(bounds))

    def has_room(self, queue: str, taken: Mapping[str, int]) -> bool:
        """Whether one more run of the queue may be taken, when so many of each are held."""
        return all(sum(taken.get(one, 0) for one in names) < most for names, most in self.bounds if queue in names)

    def is_any_reached(self, taken: Mapping[str, int]) -> bool:
        """Whether some queue has all that it may take, so that runs of it may be waiting."""
        return any(held >= most for held, most in self._held(taken))

    def is_half_free(self, taken: Mapping[str, int]) -> bool:
        """Whether half of all places is free, and half of those of each bound."""
        return all(2 * held <= most for held, most in self._held(taken))

    def _held(self, taken: Mapping[str, int]) -> list[tuple[int, int]]:
        of_bounds = [(sum(taken.get(one, 0) for one in names), most) for names, most in self.bounds]
        return [(sum(taken.values()), self.limit), *of_bounds]
