"""Three clocks that may disagree: this machine's, the database's, and PCO's. Pure.

A window has to end at a time of PCO's clock that is over, else records may enter it, and the next delta would begin
where PCO has not arrived yet. When a row was seen is told by the database's clock, which all workers share.
"""

from datetime import datetime, timedelta
from typing import Final

from pco_walks.window import SKEW, last_closed_second

TOLERANCE: Final = SKEW + timedelta(seconds=3)
"""By so much a window may end before PCO's time: what is new comes with the next run."""

MOST_AHEAD: Final = timedelta(days=2)
"""A `Date` that is further ahead of the database's time is not believed: a window that ends years ahead would hide all
that changes until then. One that ends too early hides nothing, so that an early `Date` is believed.
"""


def corrected_until(
    until: datetime | None,
    answered_at: datetime | None,
    *,
    opened_at: datetime,
    took: timedelta,
    is_new: bool,
    is_child: bool,
) -> datetime | None:
    """Where a window that ends at `until` should end, by the time of PCO's first answer; None if it is right as it is.

    `took` is the time from the opening of the run to that answer: PCO's clock went on by as much. A corrected window
    ends where that clock stood, at the earliest, when the run was opened.

    `is_new`: the run has just been opened, so that its window should end about now. A window that was chosen some time
    before the opening ends as much earlier, which is no clock's fault. A child's may end long before.
    """
    if until is None or answered_at is None or answered_at - took - opened_at > MOST_AHEAD:
        return None
    closed = last_closed_second(answered_at - took)
    is_ahead = pco_ahead(closed, opened_at) > TOLERANCE - SKEW
    is_behind = is_new and not is_child and is_ahead and closed - until > TOLERANCE
    return closed if until > last_closed_second(answered_at) or is_behind else None


def known_ahead(known: timedelta, answered_at: datetime, *, opened_at: datetime, took: timedelta) -> timedelta:
    """By how much PCO's clock is ahead of the database's, after an answer that has corrected no window.

    One that ends too early because of what was `known` is never corrected: so it would be known for ever. `took` is as
    in `corrected_until`; the answer may be dated before all of it.
    """
    shown = pco_ahead(last_closed_second(answered_at - took), opened_at)
    if shown > MOST_AHEAD or shown - known <= TOLERANCE:
        return known
    return shown if abs(shown) > TOLERANCE else timedelta()


def pco_ahead(corrected: datetime, opened_at: datetime) -> timedelta:
    """By how much PCO's clock is ahead of the database's, to the second, if a window of that run was corrected so."""
    return corrected - last_closed_second(opened_at)
