"""Ours: `await sync_entity(...)` as it is, every guarantee on. `benchmarks.programs.ours ORG [ENTITY [MODE]]`."""

import sys

from benchmarks.programs.measured import Work, measured
from flows.sync_entity import sync_entity
from tasks.reports.sync_summary import SyncSummary

DEFAULTS = ("people.Person", "full")


async def read_people() -> Work:
    """The flow, called."""
    org_id, *told = sys.argv[1:]
    entity, mode = (*told, *DEFAULTS[len(told) :])
    summary = await sync_entity(org_id=org_id, entity=entity, mode=mode)
    assert isinstance(summary, SyncSummary), summary
    return Work(pages=summary.pages, rows=summary.records)


if __name__ == "__main__":
    measured(read_people)
