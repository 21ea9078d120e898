"""F2: a flow run per group with Planning Center's limit on: the engine must not be what one waits for."""

import asyncio

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import fleet
from pco_simulator.testing import SimulatorProcess

TITLE = "a flow run per group with the limit of 100 per 20 s, two workers: share of the budget used, 429s"
GROUPS = 600
PERIOD = 20.0
LIMIT = 100


def measure(bench: Bench) -> None:
    """The share is of what the limit allows between the first request and the last."""
    with SimulatorProcess(people=1000, groups=GROUPS, rate_limit="100/20") as simulator:
        with fleet(bench, simulator, workers=2, limit=10) as workers:
            run = asyncio.run(workers.run("groups.Membership", "limited", patience=400, most_under_way=200))
        log = simulator.access_log()
        refused = simulator.stats()["refused"]
    answered = sorted(one["at"] for one in log if one["status"] == 200)
    seconds = answered[-1] - answered[0]
    allowed = LIMIT * (1 + seconds / PERIOD)
    bench.record.sample("F2", "limited", {"children": run.completed, "seconds": run.seconds, "requests": len(log)})
    bench.record.figure("F2", "share of the budget used", len(answered) / allowed, "", Goal(at_least=0.98))
    bench.record.figure("F2", "refused with 429", refused, "", Goal(at_most=0))
