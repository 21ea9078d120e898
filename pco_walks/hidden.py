"""How many records the filter of a window hides: found by counts, which need not come from one state of the list. Pure.

`where[created_at][lte]` leaves out what has no `created_at`, as SQL does. So the list without any filter is the
yardstick: what it counts more than the window must be newer than the window's end, else it is hidden.
"""

from collections.abc import Generator
from typing import Final

from pco_client.sansio import Where
from pco_walks.window import Window

TRIES: Final = 10
"""A record that is deleted between two counts looks like a hidden one; not ten times in a row."""

ROUND: Final = 1000
"""Where PCO stops counting, the count is a multiple of this."""


def count_hidden(window: Window) -> Generator[tuple[Where, ...], int | None, int | None]:
    """How many records of the list are neither in the window nor newer than its end; None if PCO does not count.

    Yields the filters of the counts that it needs, one after the other. What is created meanwhile must not make up for
    what is hidden: so what is newer is counted first, then everything, and the window last, which can only shrink.
    """
    counts: list[tuple[int, int, int]] = []
    while len(counts) < TRIES:
        newer = yield window.where_newer()
        everything = yield ()
        inside = yield window.where()
        if newer is None or everything is None or inside is None:
            return None
        if everything - newer - inside <= 0:
            return 0
        counts.append((newer, everything, inside))
        if counts[-1:] == counts[-2:-1]:  # nothing moves
            break
    return min(everything - newer - inside for newer, everything, inside in counts)


def looks_capped(count: int) -> bool:
    """Whether PCO may have stopped counting there: it has counted 10,000 where there were more (#736)."""
    return count > 0 and count % ROUND == 0
