"""Three clocks that may disagree: this machine's, the database's, and PCO's. Pure.

A window has to end at a time of PCO's clock that is over, else records may enter it, and the next delta would begin
where PCO has not arrived yet. When a row was seen is told by the database's clock, which all workers share.
"""

from datetime import datetime, timedelta
from typing import Final

from pco_walks.window import SKEW, last_closed_second

TOLERANCE: Final = SKEW + timedelta(seconds=3)
"""By so much a window may end before PCO's time: an answer takes a while, and what is new comes with the next run."""


def corrected_until(
    until: datetime | None, answered_at: datetime | None, *, waited: timedelta, is_new: bool, is_child: bool
) -> datetime | None:
    """Where a window that ends at `until` should end, by the time of PCO's first answer; None if it is right as it is.

    `is_new`: nobody has read of the run before, so that its window should end about when it was opened, which the first
    request has `waited` for: its turn, or the budget. A child's may end long before.
    """
    if until is None or answered_at is None:
        return None
    closed, when_opened = last_closed_second(answered_at), last_closed_second(answered_at - waited)
    if until > closed:
        return closed
    return when_opened if is_new and not is_child and when_opened - until > TOLERANCE else None
