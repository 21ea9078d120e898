"""A page that was read in parts, from the last one to the first, as one reading of it. Pure.

The parts are a small walk of their own: what moves between them moves to the front and is seen twice. So the page has
two counts, of the part that was read first and of the one read last, and proves as much as a page of one answer; unless
the counts say that the parts were read in another order, as after an interruption.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from pco_walks.walk import PageReading


def of_parts(whole: PageReading, answered: Sequence[PageReading]) -> PageReading:
    """The reading of a page of which these parts were answered; `whole` says which page it is, and nothing else.

    Its rows stand in the ledger entries of the parts; here they say that the page showed some.
    """
    if not answered:
        return whole
    parts = sorted(answered, key=lambda one: (one.offset + one.size, one.offset), reverse=True)
    counts = [one.total_count for one in parts if one.total_count is not None]
    end, last = whole.offset + whole.size, parts[0]
    if last.offset + last.size >= end:
        ends_here = last.next_offset is None
    elif counts:
        ends_here = min(counts) <= end
    else:
        ends_here = any(one.next_offset is None for one in parts)
    return replace(
        whole,
        rows=min(sum(one.rows for one in parts), whole.size),
        next_offset=None if ends_here else end,
        total_count=min(counts, default=None),
        first_count=max(counts, default=None),
        is_torn=any(later > earlier for earlier, later in pairwise(counts)),
        reached=any(one.reached for one in parts),
        seen_before=sum(one.seen_before for one in parts),
    )


def with_parts(committed: Iterable[PageReading]) -> list[PageReading]:
    """What was committed, with the pages that were read in parts as they were when their parts had been read."""
    known = list(committed)
    return [of_parts(one, _parts_of(one, known)) if one.rows == 0 else one for one in known]


def _parts_of(page: PageReading, known: Sequence[PageReading]) -> list[PageReading]:
    return [
        one
        for one in known
        if one.reading == page.reading
        and one.size < page.size
        and page.offset <= one.offset
        and one.offset + one.size <= page.offset + page.size
    ]
