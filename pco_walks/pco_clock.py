"""Three clocks that may disagree: this machine's, the database's, and PCO's. Pure.

A window has to end at a time of PCO's clock that is over, else records may enter it, and the next delta would begin
where PCO has not arrived yet. When a row was seen is told by the database's clock, which all workers share.
"""

from datetime import datetime, timedelta
from typing import Final

from pco_walks.window import SKEW, last_closed_second

TOLERANCE: Final = SKEW + timedelta(seconds=3)
"""By so much a window may end before PCO's time: what is new comes with the next run."""


def corrected_until(
    until: datetime | None, answered_at: datetime | None, *, took: timedelta, is_new: bool, is_child: bool
) -> datetime | None:
    """Where a window that ends at `until` should end, by the time of PCO's first answer; None if it is right as it is.

    `took` is the time from the opening of the run to that answer: PCO's clock went on by as much. A corrected window
    ends where that clock stood, at the earliest, when the run was opened.

    `is_new`: the run has just been opened, so that its window should end about now. A child's may end long before.
    """
    if until is None or answered_at is None:
        return None
    closed = last_closed_second(answered_at - took)
    is_behind = is_new and not is_child and closed - until > TOLERANCE
    return closed if until > last_closed_second(answered_at) or is_behind else None
