"""What the answers of a run showed: evidence that steers its walk, drift of the catalogue, and numbers to report.

It restarts with the process; what whoever continues the run must know stands in the ledger.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pco_client.documents import Page
from pco_walks.alike import Alike
from pco_walks.window import Window
from tasks.rows.transform import TransformedPage


@dataclass(kw_only=True)
class Tally:
    """Numbers of this execution, to report."""

    pages: int = 0
    rows: int = 0
    retries: int = 0
    quarantined: int = 0
    waited_seconds: float = 0.0


@dataclass(kw_only=True)
class Evidence:
    """What decides which pages are read next (`replanning`, `collection`).

    `answered_at` is PCO's time in its first answer, `answered_after` the time from the opening of the run to it, and
    `corrected_until` the end of the window that follows from both. `nothing_hidden`: the window's filter hides no
    record. `fallback` says why not the best walk was taken. `most_at_a_time` is how many records PCO answers with, if
    those of a whole page are too many.
    """

    answered_at: datetime | None = None
    answered_after: timedelta = timedelta()
    corrected_until: datetime | None = None
    window_ignored: bool = False
    order_ignored: bool = False
    nothing_hidden: bool = False
    most_at_a_time: int | None = None
    fallback: str = ""
    alike: Alike = field(default_factory=Alike)

    def note(self, answered: Page, shown: TransformedPage, window: Window, *, whole: bool, after: timedelta) -> None:
        """Compare a page, of a window or of the `whole` list, with what was requested; it came `after` the opening.

        PCO ignores a filter or an order that it does not know, with 200 and the whole collection. What it answered is
        stored all the same; the walk then takes another way that needs neither.
        """
        if self.answered_at is None:
            self.answered_at, self.answered_after = answered.answered_at, after
        if window.order is not None:
            times = times_of(shown)
            known = answered.can_order_by is None or "updated_at" in answered.can_order_by
            self.order_ignored |= not known or times != sorted(times, reverse=True)
        elif window.attribute is not None:
            known = answered.can_query_by is None or window.attributes <= answered.can_query_by
            is_outside = not whole and not all(window.holds(row) for row in shown.rows)
            self.window_ignored |= not known or is_outside


@dataclass(kw_only=True)
class Drift:
    """What PCO did differently from what the catalogue says: another API version, attributes and records that nobody
    asked for. `unnamed` records did not name what was included for that.
    """

    unknown_attributes: set[str] = field(default_factory=set)
    processed_as_version: str | None = None
    included_ignored: int = 0
    unnamed: int = 0

    def note(self, answered: Page, shown: TransformedPage, *, asked_version: str, included: bool) -> None:
        """What a page shows of that."""
        self.unknown_attributes |= shown.unknown_attributes
        self.included_ignored += 0 if included else len(answered.included)
        if answered.processed_as_version not in (None, asked_version):
            self.processed_as_version = answered.processed_as_version

    def note_all(self, other: "Drift") -> None:
        """The same of another sync of the entity."""
        self.unknown_attributes |= other.unknown_attributes
        self.included_ignored += other.included_ignored
        self.unnamed += other.unnamed
        self.processed_as_version = other.processed_as_version or self.processed_as_version


def times_of(shown: TransformedPage) -> list[datetime]:
    """When the records of a page were last changed."""
    times = (row.get("updated_at") for row in shown.rows)
    return [at for at in times if isinstance(at, datetime)]
