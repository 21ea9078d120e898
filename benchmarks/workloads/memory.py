"""Memory: the most that a sync process holds must not depend on how many records there are."""

from benchmarks.bench import ORG, Bench
from benchmarks.figures import Goal
from pco_simulator.testing import SimulatorProcess

TITLE = "peak memory of the sync process at 20,000 and 200,000 people"
SIZES = (20_000, 200_000)


def measure(bench: Bench) -> None:
    """Once each: memory hardly varies."""
    peaks: list[float] = []
    for people in SIZES:
        with SimulatorProcess(people=people) as simulator:
            result = bench.run("MEMORY", f"{people:,} people", "ours", ORG, simulator=simulator)
        assert result.rows == people, result
        peaks.append(result.peak_rss_mb)
        bench.record.figure("MEMORY", f"{people:,} people: peak", result.peak_rss_mb, "MB", Goal(at_most=250))
    bench.record.figure("MEMORY", "growth from 20,000 to 200,000 people", peaks[1] - peaks[0], "MB")
