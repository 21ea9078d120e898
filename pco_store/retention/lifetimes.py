"""How long is kept what is not the mirror (docs/operations.md, "What is kept for how long")."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifetimes:
    """`turns`: after a turn is over, with its pages and children; longer than any list's period, since freshness looks
    back so far. `newest_turns`: so many of each list and mode stay, whatever their age. `proofs`: since they were made;
    the newest of each list and method stays. `resolved`: since something left the quarantine; what is in it stays.
    """

    turns: timedelta = timedelta(days=60)
    newest_turns: int = 2
    proofs: timedelta = timedelta(days=400)
    resolved: timedelta = timedelta(days=90)
