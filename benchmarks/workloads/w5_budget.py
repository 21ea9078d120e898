"""W5: 18,000 people with PCO's limit of 100 requests per 20 s enforced, alone and by two processes at a time."""

from contextlib import ExitStack
from statistics import median

from benchmarks.bench import ORG, Bench
from benchmarks.budget_share import LIMIT, PERIOD_SECONDS
from benchmarks.figures import Goal
from pco_simulator.testing import SimulatorProcess

TITLE = "18,000 people at PCO's limit, by one process and by two"
LATENCY_MS = 60
PEOPLE = 18_000
PAGES = 180
"""With the checks of what comes with people they fit into two windows."""


def floor_seconds(requests: int) -> float:
    """The least that so many requests take: 100 at once, and 100 more whenever 20 s have passed.

    What comes after the last window has opened (its requests, their commits) is not counted into it.
    """
    return float((requests - 1) // LIMIT * PERIOD_SECONDS)


def measure(bench: Bench) -> None:
    """180 pages each time, so the floor is 20 s: by one sync, and by two that share the credential."""
    runs = max(1, bench.runs // 2)
    _measure(bench, "one process", [ORG], PEOPLE, runs)
    _measure(bench, "two processes, one credential", ["north", "south"], PEOPLE // 2, runs)


def _measure(bench: Bench, label: str, churches: list[str], people: int, runs: int) -> None:
    figure = bench.record.figure
    seconds: list[float] = []
    refused = 0
    with SimulatorProcess(people=people, prepare=["people.Person"], latency_ms=LATENCY_MS) as simulator:
        # Pages with includes are rendered when they are first asked for, which would hold up the simulator's clock.
        _run_side_by_side(bench, simulator, churches)
        simulator.rate_limit(limit=LIMIT, period=PERIOD_SECONDS)
        for _ in range(runs):
            bench.settle()
            bench.forget_budget()
            simulator.reset_log()
            took = _run_side_by_side(bench, simulator, churches)
            stats = simulator.stats()
            told = {"seconds": took, "requests": stats["requests"], "refused": stats["refused"]}
            bench.record.sample("W5", label, {**told, "max_in_window": stats["max_in_window"]})
            seconds.append(took)
            refused += stats["refused"]
    figure("W5", f"{label}: from the flow's call to its end", median(seconds), "s")
    figure(
        "W5",
        f"{label}: / the floor of {floor_seconds(PAGES):g} s",
        median(seconds) / floor_seconds(PAGES),
        "x",
        Goal(at_most=1.05),
    )
    figure("W5", f"{label}: refused (429)", refused, "", Goal(at_most=0))


def _run_side_by_side(bench: Bench, simulator: SimulatorProcess, churches: list[str]) -> float:
    """All are let go when all have done their imports; from the first call to the last end."""
    with ExitStack() as stack:
        database = stack.enter_context(bench.database())
        syncs = [
            stack.enter_context(bench.program("ours", org, simulator=simulator, database=database, org_id=org))
            for org in churches
        ]
        for sync in syncs:
            sync.wait_until_ready()
        for sync in syncs:
            sync.go()
        results = [sync.result() for sync in syncs]
    assert sum(one.pages for one in results) == PAGES, results
    return max(one.began_at + one.work_seconds for one in results) - min(one.began_at for one in results)
