"""F3: 50,000 children written down and submitted; F4: 50,000 groups run to the end by two workers."""

import asyncio
import os
import time
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, fleet
from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database
from pco_store.ledger.fan_out.children import NewChildren, claim_children, insert_children
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import FAN_OUT_SCOPE, Opened, RunRequest
from pco_store.ledger.runs import FanOutPlan, RunWindow
from tasks.fan_out.submitting import submit_more
from tasks.lifespan import opened_resources
from tasks.settings import read_settings

TITLE = "50,000 children: written down, submitted, and run to the end by two workers"
GROUPS = 50_000
ENTITY = "groups.Membership"
BELOW = ("groups.Group",)
PAGE = 100
SUBMITTED = 1000
LIMIT = 8
"""Places of a worker; half of them are for children."""


def measure(bench: Bench) -> None:
    """Each of the three once: they take minutes."""
    with bench.database() as database:
        seconds = asyncio.run(_write_down(database))
    bench.record.figure("F3", "50,000 children inserted and claimable", seconds, "s", Goal(at_most=20))
    with (
        SimulatorProcess(people=1000, groups=GROUPS) as simulator,
        fleet(bench, simulator, workers=2, limit=LIMIT) as workers,
    ):
        run = asyncio.run(workers.run(ENTITY, "fifty-thousand", patience=1800, groups_per_run=100, most_under_way=4000))
        asked = workers.requests_per_list()
        peaks = [_peak_mb(worker.pid) for worker in workers.workers]
    values = {
        "seconds": run.seconds,
        "completed": run.completed,
        **{f"{name}_cpu": cpu for name, cpu in run.cpu.items()},
    }
    bench.record.sample("F4", "50,000 groups, 100 per run", values)
    figure = bench.record.figure
    figure("F4", "children/s, two workers", run.completed / run.seconds, "1/s")
    figure("F4", "CPU per child, all processes", run.cpu_per_child_ms, "ms", Goal(at_most=20))
    figure("F4", "groups not done", GROUPS - run.completed, "", Goal(at_most=0))
    figure("F4", "lists read more or less than once", _not_once(asked), "", Goal(at_most=0))
    figure("F4", "memory of a worker, most", max(peaks), "MB", Goal(at_most=300))
    with bench.database() as database:
        figure("F3", "child runs submitted", asyncio.run(_submission_rate(database)), "1/s", Goal(at_least=50))


def _not_once(asked: dict[str, int]) -> int:
    return abs(GROUPS - len(asked)) + sum(1 for count in asked.values() if count != 1)


def _peak_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(one for one in status if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _write_down(database_url: str) -> float:
    """As the pages of the parents do it: a hundred at a time, each in a transaction; then the last one is claimed."""
    database = Database(database_url, pool_size=1)
    scopes = [str(1_000_000 + number) for number in range(GROUPS)]
    began = time.monotonic()
    try:
        for start in range(0, GROUPS, PAGE):
            async with database.transaction() as connection:
                await insert_children(connection, _children(tuple(scopes[start : start + PAGE])))
        async with database.transaction() as connection:
            key = f"sync-children:{ORG}:{ENTITY}:{scopes[-1]}:many"
            claim = await claim_children(connection, [key], owner="a benchmark", flow_run_id=None, lease_seconds=10)
            assert len(claim.runs) == 1, "the last child cannot be claimed"
    finally:
        await database.aclose()
    return time.monotonic() - began


def _children(scopes: tuple[str, ...]) -> NewChildren:
    return NewChildren(
        org_id=ORG,
        epoch="many",
        final_entity=ENTITY,
        below=BELOW,
        root_id=1,
        entity=ENTITY,
        scopes=scopes,
        window=RunWindow(attribute=None, since=None, until=None),
        page_size=PAGE,
    )


async def _submission_rate(database_url: str) -> float:
    """Flow runs made a second by one `submit_more`. No worker runs: what is submitted stays with the Prefect server."""
    os.environ["PCO_SYNC_DATABASE_URL"] = database_url
    async with opened_resources(read_settings()) as resources:
        request = RunRequest(
            org_id=ORG,
            entity=ENTITY,
            scope=FAN_OUT_SCOPE,
            epoch="many",
            mode="full",
            on_conflict="join",
            window=RunWindow(attribute=None, since=None, until=None),
            page_size=PAGE,
            owner="a benchmark",
            flow_run_id=None,
            lease_seconds=600,
            fan_out=FanOutPlan(below=BELOW, groups_per_run=1, most_under_way=SUBMITTED),
        )
        opened, lease = await open_run(resources.database, request)
        assert isinstance(opened, Opened)
        assert lease is not None
        async with resources.database.transaction() as connection:
            scopes = tuple(str(1_000_000 + number) for number in range(SUBMITTED))
            await insert_children(connection, replace(_children(scopes), root_id=opened.run.run_id))
        began = time.monotonic()
        made = await submit_more(resources, opened.run)
        seconds = time.monotonic() - began
        await lease.release()
    assert made == SUBMITTED, f"{made} of {SUBMITTED} were submitted"
    return made / seconds
