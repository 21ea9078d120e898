"""A whole church, every product: the requests that `plan` announces, those that the sync sends, and those of nights.

All requests are counted by the simulator. The church has twelve weekly events for each group, four of them to come, and
services of a thousand volunteers and plans.
"""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from benchmarks.bench import PEOPLE, Bench
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, Fleet, fleet
from benchmarks.nights import changes_of
from deployments.operations.plan import make_plan
from pco_catalog.catalog import load_catalog
from pco_simulator.testing import SimulatorProcess
from tasks.deployment_runs import start_organization

TITLE = "a church of 20,000 people and 1,000 groups, all products: requests announced and sent; nights (--nights)"
GROUPS = 1000
VOLUNTEERS = 1000
PLANS = 1000
EPOCH = "church"
PATIENCE_SECONDS = 4 * 3600
LOOK_SECONDS = 2.0
DAY_SECONDS = 86_400


def measure(bench: Bench) -> None:
    """Once, by two workers: it takes many minutes. With `bench.everything` also what only a pattern chooses."""
    include = ["*"] if bench.everything else []
    now = datetime.now(UTC)
    with (
        SimulatorProcess(people=PEOPLE, groups=GROUPS, volunteers=VOLUNTEERS, plans=PLANS, now=now) as simulator,
        fleet(bench, simulator, workers=2, limit=4) as workers,
    ):
        os.environ["PCO_SYNC_DATABASE_URL"] = workers.database
        planned, cost = asyncio.run(make_plan(ORG, "full", include, []))
        announced = sum(one.requests for one in planned)
        assert cost == simulator.stats()["requests"], "the plan says what it has cost itself"
        sent, seconds = _run(simulator, workers, "full", EPOCH, include)
        wrong = asyncio.run(_tables_that_differ(workers.database, simulator.counts(), is_everything=bench.everything))
        figure = bench.record.figure
        figure("CHURCH", "requests announced", announced, "")
        figure("CHURCH", "requests of the plan itself", cost, "")
        figure("CHURCH", "requests sent", sent, "")
        figure("CHURCH", "announced and sent differ by", abs(announced - sent) / sent, "", Goal(at_most=0.10))
        figure("CHURCH", "tables with other numbers of rows than the church", len(wrong), "")
        figure("CHURCH", "seconds", seconds, "s")
        bench.record.sample("CHURCH", "tables that differ", wrong)
        for night in range(1, bench.nights + 1):
            _night(bench, simulator, workers, night, now + timedelta(days=night), include)


def _night(
    bench: Bench, simulator: SimulatorProcess, workers: Fleet, night: int, now: datetime, include: list[str]
) -> None:
    """A day goes by at the church; then a delta, and all that no delta can tell."""
    simulator.clock(ahead_seconds=night * DAY_SECONDS)
    simulator.churn(changes_of(night, people=PEOPLE, groups=GROUPS, plans=PLANS, now=now))
    for mode in ("delta", "rest"):
        sent, seconds = _run(simulator, workers, mode, f"{EPOCH}-{night}-{mode}", include)
        bench.record.figure("CHURCH", f"night {night}: requests of {mode}", sent, "")
        bench.record.figure("CHURCH", f"night {night}: seconds of {mode}", seconds, "s")


def _run(simulator: SimulatorProcess, workers: Fleet, mode: str, epoch: str, include: list[str]) -> tuple[int, float]:
    """Requests, as the simulator counts them, and seconds of one sync of the church."""
    simulator.reset_log()
    began = time.monotonic()
    asyncio.run(_sync(workers.database, mode, epoch, include))
    return simulator.stats()["requests"], time.monotonic() - began


async def _sync(database_url: str, mode: str, epoch: str, include: list[str]) -> None:
    """From the request to the church's end by the ledger. Raises `TimeoutError`, `RuntimeError`."""
    began = time.monotonic()
    await start_organization(ORG, epoch=epoch, mode=mode, include=include, groups_per_run=100, most_under_way=4000)
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            row = await connection.fetchrow(
                "SELECT state, error FROM sync.runs WHERE key = $1", f"sync-organization:{ORG}:{epoch}"
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


async def _tables_that_differ(database_url: str, counts: dict[str, int], *, is_everything: bool) -> dict[str, str]:
    """Rows and records, where their numbers differ; without everything only of entities that have any rows."""
    connection, wrong = await asyncpg.connect(database_url), {}
    try:
        for entity in load_catalog().entities():
            table = f'"{entity.schema_name}"."{entity.table_name}"'
            rows = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE _deleted_at IS NULL")
            if (rows or is_everything) and rows != counts[entity.name]:
                wrong[entity.name] = f"{rows} of {counts[entity.name]}"
    finally:
        await connection.close()
    return wrong
