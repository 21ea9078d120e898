"""Ours: `await sync_entity(...)` as it is, every guarantee on. `python -m benchmarks.programs.ours ORG [ENTITY]`."""

import sys

from benchmarks.programs.measured import Work, measured
from flows.sync_entity import sync_entity
from tasks.summary import SyncSummary


async def read_people() -> Work:
    """The flow, called."""
    org_id, *rest = sys.argv[1:]
    summary = await sync_entity(org_id=org_id, entity=rest[0] if rest else "people.Person")
    assert isinstance(summary, SyncSummary), summary
    return Work(pages=summary.pages, rows=summary.records)


if __name__ == "__main__":
    measured(read_people)
