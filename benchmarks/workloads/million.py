"""A million people without a limit: memory, the rate of 20,000 kept, and no deep offset."""

import time

from benchmarks.bench import ORG, PEOPLE, Bench
from benchmarks.figures import Goal
from pco_simulator.testing import SimulatorProcess

TITLE = "1,000,000 people: memory, rate, offsets"
MILLION = 1_000_000
DEEP = 30_000


def measure(bench: Bench) -> None:
    """Once each, the small church just before and just after the great one."""
    rates = [_rate_of_small(bench)]
    with SimulatorProcess(people=MILLION) as simulator:
        began = time.monotonic()
        result = bench.run("MILLION", f"{MILLION:,} people", "ours", ORG, simulator=simulator)
        seconds = time.monotonic() - began
        deepest = max(one["offset"] for one in simulator.access_log())
        requests = simulator.stats()["requests"]
    assert result.rows == MILLION, result
    rates.append(_rate_of_small(bench))
    rate, small = result.rows / result.work_seconds, sum(rates) / len(rates)
    figure = bench.record.figure
    figure("MILLION", "peak memory of the sync process", result.peak_rss_mb, "MB", Goal(at_most=300))
    figure("MILLION", "rows/s", rate, "1/s")
    figure("MILLION", f"rows/s at {PEOPLE:,} people, before and after", small, "1/s")
    figure("MILLION", "rate, as a share of that", rate / small, "", Goal(at_least=0.8))
    figure("MILLION", "deepest offset", deepest, "", Goal(at_most=DEEP))
    figure("MILLION", "requests beyond its pages", requests - MILLION // 100, "")
    figure("MILLION", "seconds in all", seconds, "s")


def _rate_of_small(bench: Bench) -> float:
    with SimulatorProcess(people=PEOPLE) as simulator:  # invents its people as it is asked, as the great one does
        result = bench.run("MILLION", f"{PEOPLE:,} people", "ours", ORG, simulator=simulator)
    assert result.rows == PEOPLE, result
    return result.rows / result.work_seconds
