"""A whole church, every product: the requests that `plan` announces, and those that the sync sends."""

import asyncio
import os
import time

import asyncpg

from benchmarks.bench import PEOPLE, Bench
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, fleet
from deployments.operations.plan import make_plan
from pco_simulator.testing import SimulatorProcess
from tasks.deployment_runs import start_organization

TITLE = "a church of 20,000 people and 1,000 groups, all products: requests announced and sent"
GROUPS = 1000
EPOCH = "church"
PATIENCE_SECONDS = 3600
LOOK_SECONDS = 2.0


def measure(bench: Bench) -> None:
    """Once, by two workers: it takes many minutes."""
    with (
        SimulatorProcess(people=PEOPLE, groups=GROUPS) as simulator,
        fleet(bench, simulator, workers=2, limit=4) as workers,
    ):
        os.environ["PCO_SYNC_DATABASE_URL"] = workers.database
        planned, cost = asyncio.run(make_plan(ORG, "full", [], []))
        announced = sum(one.requests for one in planned)
        assert cost == simulator.stats()["requests"], "the plan says what it has cost itself"
        simulator.reset_log()
        began = time.monotonic()
        asyncio.run(_sync(workers.database))
        seconds, sent = time.monotonic() - began, simulator.stats()["requests"]
    figure = bench.record.figure
    figure("CHURCH", "requests announced", announced, "")
    figure("CHURCH", "requests of the plan itself", cost, "")
    figure("CHURCH", "requests sent", sent, "")
    figure("CHURCH", "announced and sent differ by", abs(announced - sent) / sent, "", Goal(at_most=0.10))
    figure("CHURCH", "seconds", seconds, "s")


async def _sync(database_url: str) -> None:
    """From the request to the church's end by the ledger. Raises `TimeoutError`, `RuntimeError`."""
    began = time.monotonic()
    await start_organization(ORG, epoch=EPOCH, groups_per_run=100, most_under_way=4000)
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            row = await connection.fetchrow(
                "SELECT state, error FROM sync.runs WHERE key = $1", f"sync-organization:{ORG}:{EPOCH}"
            )
            if row is not None and row["state"] == "completed":
                return
            if row is not None and row["state"] == "failed":
                raise RuntimeError(row["error"])
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise TimeoutError(f"the church was {row} after {PATIENCE_SECONDS} s")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()
