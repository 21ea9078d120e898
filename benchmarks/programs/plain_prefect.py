"""Plain Prefect: a flow, a task per page around the hand-written code, Prefect's own defaults, results persisted.

`python -m benchmarks.programs.plain_prefect IN_FLIGHT`. No ledger: what it knows of its pages stands in Prefect.
"""

import asyncio
import sys
from contextvars import ContextVar

from prefect import flow, task

from benchmarks.programs.measured import Work, measured
from benchmarks.programs.people_loop import PAGE_SIZE, PeopleLoop, people_loop

_loop: ContextVar[PeopleLoop] = ContextVar("people_loop")


@task(retries=3, persist_result=True)
async def store_page(offset: int) -> dict[str, int]:
    """One page."""
    stored = await _loop.get().store_page(offset)
    return {"rows": stored.rows, "total_count": stored.total_count}


@flow
async def store_people(in_flight: int) -> dict[str, int]:
    """All people."""
    async with people_loop(in_flight=in_flight) as loop:
        token = _loop.set(loop)
        first = await store_page(0)
        offsets = iter(range(PAGE_SIZE, first["total_count"], PAGE_SIZE))
        done = [first]

        async def take_pages() -> None:
            done.extend([await store_page(offset) for offset in offsets])

        await asyncio.gather(*(take_pages() for _ in range(in_flight)))
        _loop.reset(token)
    return {"pages": len(done), "rows": sum(one["rows"] for one in done)}


store_people.serialize_parameters({"": ""})  # loads what Prefect needs for it: all programs have done their imports


async def read_people() -> Work:
    """The flow, called."""
    return Work(**await store_people(int(sys.argv[1])))


if __name__ == "__main__":
    measured(read_people)
