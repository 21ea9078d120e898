"""What a simulator is told, and can be told anew while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pco_simulator.rate_window import RateRules


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`credentials` are secrets by application id. `latency` is the mean in seconds: answers take half to three halves.

    `ignores` are filters and orders that PCO does not know any more, although its answers still name them.
    `cap` is the most records that a list counts, and unless `cap_counts_only` also the last place that it shows (#736).
    `forbidden` products answer 403. `gzip` compresses answers for clients that accept it, as PCO does; it costs speed.
    """

    credentials: Mapping[str, str] = field(repr=False)
    rules: RateRules = field(default_factory=RateRules)
    latency: float = 0.0
    forbidden: frozenset[str] = frozenset()
    ignores: frozenset[str] = frozenset()
    gzip: bool = False
    cap: int | None = None
    cap_counts_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """The limit suddenly is `limit`, after so many requests (#1449)."""

    limit: int
    after_request: int
