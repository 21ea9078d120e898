"""A quiet delta of a whole church, which every church has every quarter of an hour: what it costs all processes."""

import asyncio
import time
from statistics import median

import asyncpg
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterStartTime,
    LogFilter,
    LogFilterTimestamp,
    TaskRunFilter,
    TaskRunFilterStartTime,
)
from prefect.types import DateTime

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, Fleet, fleet
from pco_simulator.testing import SimulatorProcess
from tasks.deployment_runs import start_organization

TITLE = "a church whose records are all the same as a moment ago: what one delta of everything costs"
PEOPLE, GROUPS = 500, 20
"""A delta reads what has changed; how large the church is does not matter to it."""
BEFORE = 17.9
"""Seconds of CPU that it took at commit 09b67aa, with a flow run for each list."""
PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.05


def measure(bench: Bench) -> None:
    """Several times, by one warm worker, which has read everything once and one delta before."""
    with (
        SimulatorProcess(people=PEOPLE, groups=GROUPS) as simulator,
        fleet(bench, simulator, workers=1, limit=4) as ours,
    ):
        for _ in range(2):
            asyncio.run(_delta(ours))
        samples = [_sample(bench, ours, simulator, number) for number in range(bench.runs)]
    figure = bench.record.figure
    names = [name for name in samples[0] if name.endswith("_cpu")]
    for name in names:
        figure("LEAN", f"CPU, {name.removesuffix('_cpu').replace('_', ' ')}", median(one[name] for one in samples), "s")
    spent = median(sum(one[name] for name in names) for one in samples)
    figure("LEAN", "CPU, all of them", spent, "s", Goal(at_most=BEFORE / 12))
    figure("LEAN", "seconds to the church's end", median(one["seconds"] for one in samples), "s", Goal(at_most=3))
    figure("LEAN", "flow runs", median(one["flow_runs"] for one in samples), "", Goal(at_most=1))
    figure("LEAN", "task runs", median(one["task_runs"] for one in samples), "", Goal(at_most=0))
    figure("LEAN", "requests that brought no page", median(one["probes"] for one in samples), "", Goal(at_most=0))
    figure("LEAN", "requests per list", median(one["requests"] / one["lists"] for one in samples), "", Goal(at_most=1))
    figure("LEAN", "lists", median(one["lists"] for one in samples), "")
    figure("LEAN", "log lines", median(one["logs"] for one in samples), "")


def _sample(bench: Bench, ours: Fleet, simulator: SimulatorProcess, number: int) -> dict[str, float]:
    bench.settle()
    simulator.reset_log()
    before, at = ours.cpu(), DateTime.now("UTC")
    seconds = asyncio.run(_delta(ours))
    bench.settle()
    spent = {f"{name}_cpu": value - before[name] for name, value in ours.cpu().items() if name != "simulator"}
    asked = simulator.access_log()
    sample = {
        **spent,
        "seconds": seconds,
        "requests": len(asked),
        "probes": sum("per_page" not in one["query"] for one in asked),
        "lists": len({one["path"] for one in asked if "per_page" in one["query"]}),
        **asyncio.run(_in_prefect(at)),
    }
    bench.record.sample("LEAN", f"delta {number + 1}", sample)
    return sample


async def _delta(ours: Fleet) -> float:
    """Seconds from the request to the church's end by the ledger. Raises `TimeoutError`, `RuntimeError`."""
    began = time.monotonic()
    started = await start_organization(ORG, mode="delta")
    connection = await asyncpg.connect(ours.database)
    try:
        while time.monotonic() - began < PATIENCE_SECONDS:
            row = await connection.fetchrow(
                "SELECT state, error FROM sync.runs WHERE entity = 'organization' AND flow_run_id = $1",
                str(started.flow_run.id),
            )
            if row is not None and row["state"] == "completed":
                return time.monotonic() - began
            if row is not None and row["state"] == "failed":
                raise RuntimeError(row["error"])
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()
    raise TimeoutError(f"the delta was not complete after {PATIENCE_SECONDS} s")


async def _in_prefect(since: DateTime) -> dict[str, float]:
    """What its server has of the runs that began since then."""
    async with get_client() as client:
        flow_runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(after_=since)), limit=200
        )
        task_runs = await client.read_task_runs(
            task_run_filter=TaskRunFilter(start_time=TaskRunFilterStartTime(after_=since)), limit=200
        )
        logs = await client.read_logs(LogFilter(timestamp=LogFilterTimestamp(after_=since)), limit=200)
    begun = [run for run in flow_runs if run.start_time is not None]  # what waits for its time is found, too
    return {"flow_runs": len(begun), "task_runs": len(task_runs), "logs": len(logs)}
