"""What the doctor found out: assumptions about lists and products, and whether they hold. Pure, and without values."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pco_client.errors import PcoError, SkipError, StopError

Verdict = Literal["holds", "fails", "unseen"]

EVERYWHERE: Final = "*"
"""The subject of what belongs to no single list or product."""

READABLE: Final = "readable"
CLOCK: Final = "Date header"
RATE: Final = "rate headers"
VERSION: Final = "API version"
PAGE_SIZE: Final = "100 at a time"
ID_ORDER: Final = "order by id"
COUNT: Final = "total_count"
END: Final = "end of the list"
BY_ID: Final = "shown by its id"
UNKNOWN_ID: Final = "404 for no record"
ATTRIBUTES: Final = "attributes"
OFFERS: Final = "can_*"
INCLUDE: Final = "include="
FILTER: Final = "filter="
CREATED: Final = "where[created_at]"
UPDATED: Final = "where[updated_at]"
NEWEST: Final = "order=updated_at"

MEANINGS: Final[Mapping[str, str]] = {
    READABLE: "the credential may read it",
    CLOCK: "PCO's clock is the database's, give or take 4 s",
    RATE: "every answer tells limit, period and count",
    VERSION: "PCO answers in the pinned version",
    PAGE_SIZE: "a page holds the 100 records it was asked for",
    ID_ORDER: "a list is in the order of its ids",
    COUNT: "the count is that of the records the list shows",
    END: "past its end a list is empty, and names no next page",
    BY_ID: "a record that is listed is shown by its id",
    UNKNOWN_ID: "where no record is, PCO answers 404",
    ATTRIBUTES: "records have what the catalogue knows",
    OFFERS: "the list offers what the catalogue knows",
    CREATED: "the filter by time of creation is kept to",
    UPDATED: "the filter by time of change is kept to",
    NEWEST: "the order by time of change is kept to",
    INCLUDE: "what comes with an owner is what its own list shows",
    FILTER: "deleted records are shown alone",
}
"""Of each assumption, in the order of the report; of those that name an include or a filter, by how they begin."""

CONSEQUENCES: Final[Mapping[str, str]] = {
    COUNT: "its full walk does not rely on the count, and reads one page at a time",
    CREATED: "its full walk asks for no window, and reads one page at a time",
    UPDATED: "its deltas go by the order, or read all of it where there is none",
    NEWEST: "its deltas do not go by the order",
    INCLUDE: "these are read below each owner, where PCO lists them so",
}
"""What the choice of walks and includes does where one fails."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
MOST_NAMED: Final = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """One assumption about a `subject`: an entity, a product, or `EVERYWHERE`.

    `seen` is the evidence, without values: counts, shapes, names of attributes, status codes.
    """

    subject: str
    assumption: str
    verdict: Verdict
    seen: str = ""

    @property
    def kind(self) -> str:
        """The assumption, without the name of the include or filter that it is about."""
        return next((one for one in (INCLUDE, FILTER) if self.assumption.startswith(one)), self.assumption)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "subject": self.subject,
            "assumption": self.assumption,
            "verdict": self.verdict,
            "seen": self.seen,
            "so": CONSEQUENCES.get(self.kind) if self.verdict == "fails" else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """All findings of one look, and what it took."""

    findings: tuple[Finding, ...]
    requests: int
    seconds: float

    def of(self, verdict: Verdict) -> list[Finding]:
        """Those with this verdict, in the order of the report."""
        order = list(MEANINGS)
        found = (one for one in self.findings if one.verdict == verdict)
        return sorted(found, key=lambda one: (order.index(one.kind), one.subject, one.assumption))


def named(names: Iterable[str]) -> str:
    """Names of attributes, edges and filters; what does not look like a name is only counted."""
    known = sorted(set(names))
    shown = [one for one in known if _NAME.fullmatch(one)][:MOST_NAMED]
    left = len(known) - len(shown)
    return ", ".join([*shown, *([f"{left} more"] if left else [])])


def refusal(error: PcoError) -> str:
    """An error without the words of the answer, which might hold anything."""
    status = f"status {error.status}" if error.status is not None else "no answer"
    return f"{status} ({type(error).__name__})"


def verdict_of(error: PcoError) -> Verdict:
    """Whether an error is PCO's last word: what may be otherwise the next time has not been seen."""
    return "fails" if isinstance(error, SkipError | StopError) and error.status is not None else "unseen"


def date_named(text: str | None) -> str:
    """A version as PCO wrote it, if it is a date."""
    return text if text and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else "something that is no date"
