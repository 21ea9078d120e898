"""F1: 1,000 groups, one warm worker, no limit: a flow run for each group, and bundles."""

import asyncio
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import FanOutRun, fleet
from pco_simulator.testing import SimulatorProcess

TITLE = "1,000 groups on one warm worker: a flow run per group, and bundles of 50"
GROUPS = 1000
ENTITY = "groups.Membership"
BUNDLE = 50
LIMIT = 40
"""Places of the worker; half of them are for children."""


def measure(bench: Bench) -> None:
    """Single ones are slow: measured at most three times."""
    with SimulatorProcess(people=1000, groups=GROUPS) as simulator:
        single = [_run(bench, simulator, 1, f"single-{number}") for number in range(min(bench.runs, 3))]
        bundled = [_run(bench, simulator, BUNDLE, f"bundled-{number}") for number in range(bench.runs)]
    figure = bench.record.figure
    figure("F1", "children/s, a flow run per group", _rate(single), "1/s", Goal(at_least=10))
    figure("F1", "CPU per child, all processes", median(one.cpu_per_child_ms for one in single), "ms")
    figure("F1", f"children/s, {BUNDLE} groups per run", _rate(bundled), "1/s", Goal(at_least=80))
    figure(
        "F1",
        f"CPU per child, all processes, {BUNDLE} per run",
        median(one.cpu_per_child_ms for one in bundled),
        "ms",
        Goal(at_most=20),
    )
    figure(
        "F1", "children not done, most", max(GROUPS - one.completed for one in single + bundled), "", Goal(at_most=0)
    )


def _rate(runs: list[FanOutRun]) -> float:
    return median(one.completed / one.seconds for one in runs)


def _run(bench: Bench, simulator: SimulatorProcess, groups_per_run: int, epoch: str) -> FanOutRun:
    with fleet(bench, simulator, workers=1, limit=LIMIT) as workers:
        run = asyncio.run(workers.run(ENTITY, epoch, patience=400, groups_per_run=groups_per_run, most_under_way=400))
    values = {
        "children": run.completed,
        "seconds": run.seconds,
        **{f"{name}_cpu": cpu for name, cpu in run.cpu.items()},
    }
    bench.record.sample("F1", f"{groups_per_run} per run", values)
    return run
