"""The hand-written loop: `python -m benchmarks.programs.by_hand IN_FLIGHT`; 1 follows the next offset, page by page."""

import asyncio
import sys

from benchmarks.programs.measured import Work, measured
from benchmarks.programs.people_loop import PAGE_SIZE, PeopleLoop, people_loop


async def read_people() -> Work:
    """All people, with so many pages in flight."""
    in_flight = int(sys.argv[1])
    async with people_loop(in_flight=in_flight) as loop:
        return await (_one_after_the_other(loop) if in_flight == 1 else _side_by_side(loop, in_flight))


async def _one_after_the_other(loop: PeopleLoop) -> Work:
    pages, rows = 0, 0
    offset: int | None = 0
    while offset is not None:
        stored = await loop.store_page(offset)
        pages, rows, offset = pages + 1, rows + stored.rows, stored.next_offset
    return Work(pages=pages, rows=rows)


async def _side_by_side(loop: PeopleLoop, in_flight: int) -> Work:
    first = await loop.store_page(0)
    offsets = iter(range(PAGE_SIZE, first.total_count, PAGE_SIZE))
    done = [first]

    async def take_pages() -> None:
        done.extend([await loop.store_page(offset) for offset in offsets])

    await asyncio.gather(*(take_pages() for _ in range(in_flight)))
    return Work(pages=len(done), rows=sum(one.rows for one in done))


if __name__ == "__main__":
    measured(read_people)
