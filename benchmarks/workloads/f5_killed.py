"""F5: kill -9 of one of two workers with children in flight."""

import asyncio
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import FanOutRun, Fleet, fleet
from pco_simulator.testing import SimulatorProcess

TITLE = "kill -9 of one of two workers with children in flight: what it costs, and until all is done"
GROUPS = 200
LIMIT = 8


def measure(bench: Bench) -> None:
    """The seconds are from the kill to the end of the last child that the killed worker had begun."""
    runs: list[tuple[FanOutRun, float, int]] = []
    with SimulatorProcess(people=1000, groups=GROUPS, latency_ms=500) as simulator:
        for number in range(min(bench.runs, 3)):
            with fleet(bench, simulator, workers=2, limit=LIMIT) as workers:
                runs.append(asyncio.run(_run(workers, f"killed-{number}")))
    figure = bench.record.figure
    figure("F5", "from the kill until all children are done", median(one[1] for one in runs), "s")
    figure("F5", "children begun again", median(one[0].begun_twice for one in runs))
    figure("F5", "lists fetched twice, most", max(one[2] for one in runs), "", Goal(at_most=LIMIT))
    figure("F5", "children lost", max(GROUPS - one[0].completed for one in runs), "", Goal(at_most=0))


async def _run(workers: Fleet, epoch: str) -> tuple[FanOutRun, float, int]:
    killed: list[float] = []

    def kill(seen: Mapping[str, Any]) -> None:
        if not killed and seen["completed"] >= GROUPS * 2 // 3 and seen["running"] >= LIMIT // 2:
            workers.workers[0].kill()
            killed.append(time.monotonic())

    run = await workers.run("groups.Membership", epoch, patience=300, on_look=kill, most_under_way=60)
    seconds = time.monotonic() - killed[0]
    twice = sum(count - 1 for count in workers.requests_per_list().values())
    return run, seconds, twice
