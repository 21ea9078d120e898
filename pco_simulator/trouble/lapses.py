"""Ways in which `include` fails while the answer is 200, and the one in which it is too much."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pco_simulator.trouble.spoiling import Rule

UNKNOWN: Final = "include-unknown"
MISSING: Final = "include-missing"
CUT: Final = "include-cut"
CAPPED: Final = "include-capped"
UNSHOWN: Final = "include-unshown"
UNNAMED: Final = "include-unnamed"
SPOILT: Final = "include-spoilt"
TOO_BIG: Final = "include-too-big"

KINDS: Final = (UNKNOWN, MISSING, CUT, CAPPED, UNSHOWN, UNNAMED, SPOILT, TOO_BIG)
"""The list knows the include no longer, and `can_include` lacks it; an owner's record does not name the edge; both
halves have the first `number` records of each owner, or of the whole answer; the last record of each owner is named and
not included, or included and not named, as for some minutes after a change; it is included without its attributes; the
answer is 504 if the edge leads to more than `number` records in all. With a `record_id` it happens to this owner only;
but a list knows its includes for all, or for none."""


class TooMuchIncluded(Exception):  # noqa: N818 - the answer to a request, not an error of ours
    """The edge leads to more records than the rule allows."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self.rule = rule


def edges_of(names: Iterable[str]) -> set[str]:
    """The edges that `include` follows: those it names, and the first ones of two levels."""
    return {edge for name in names for edge in (name, name.partition(".")[0])}


@dataclass(frozen=True, slots=True)
class Lapses:
    """Those that this answer meets. An edge of the second level is called `refund.designation_refunds`."""

    rules: Sequence[Rule] = ()

    @property
    def kinds(self) -> set[str]:
        """What went wrong. Whether an answer was too big is seen from its status."""
        return {rule.kind for rule in self.rules} - {TOO_BIG}

    def known(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the names of includes that are still known; of two levels perhaps the first one only."""
        if not self.rules:
            return tuple(names)
        gone = {rule.include for rule in self.rules if rule.kind == UNKNOWN}
        firsts = {one: one.partition(".")[0] for one in names}
        kept = (firsts[one] if one in gone else one for one in names if gone.isdisjoint((None, firsts[one])))
        return tuple(dict.fromkeys(kept))

    def rule(self, kind: str, edge: str, owner: str) -> Rule | None:
        """The first rule of a kind for the edge of an owner."""
        for rule in self.rules:
            is_owner = rule.record_id is None or str(rule.record_id) == owner
            if rule.kind == kind and rule.include in (None, edge) and is_owner:
                return rule
        return None

    def check_size(self, counts: Mapping[str, int]) -> None:
        """Raise `TooMuchIncluded` if an edge leads to more records than it may."""
        for rule in self.rules:
            if rule.kind == TOO_BIG and any(
                count > rule.number for edge, count in counts.items() if rule.include in (None, edge)
            ):
                raise TooMuchIncluded(rule)
