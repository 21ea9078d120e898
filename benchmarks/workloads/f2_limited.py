"""F2: a flow run per group with Planning Center's limit on: the engine must not be what one waits for."""

import asyncio

from benchmarks.bench import Bench
from benchmarks.budget_share import LIMIT, PERIOD_SECONDS, budget_share
from benchmarks.figures import Goal
from benchmarks.fleet import fleet
from pco_simulator.testing import SimulatorProcess

TITLE = "a flow run per group with the limit of 100 per 20 s, two workers: share of the budget used, 429s"
GROUPS = 600
WINDOWS = 6
LATENCY_MS = 60


def measure(bench: Bench) -> None:
    """600 lists below the groups and seven pages of groups: a little more than six windows."""
    limit = f"{LIMIT}/{PERIOD_SECONDS}"
    with SimulatorProcess(people=1000, groups=GROUPS, latency_ms=LATENCY_MS, rate_limit=limit) as simulator:
        with fleet(bench, simulator, workers=2, limit=10) as workers:
            run = asyncio.run(workers.run("groups.Membership", "limited", patience=400, most_under_way=200))
        log = simulator.access_log()
        refused = simulator.stats()["refused"]
    share = budget_share(log, windows=WINDOWS, longest_answer_seconds=1.5 * LATENCY_MS / 1000)
    bench.record.sample("F2", "limited", {"children": run.completed, "seconds": run.seconds, "requests": len(log)})
    figure = bench.record.figure
    figure("F2", "answered in two minutes", 100 * share.answered, "%", Goal(at_least=98))
    figure("F2", "share in the long run", 100 * share.in_the_long_run, "%", Goal(at_least=98))
    figure("F2", "refused (429)", refused, "", Goal(at_most=0))
