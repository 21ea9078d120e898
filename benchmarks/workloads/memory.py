"""Memory: the most that a sync process holds must not depend on how many records there are, nor on whose they are."""

from benchmarks.bench import ORG, Bench
from benchmarks.figures import Goal
from benchmarks.program_run import Result
from pco_simulator.testing import SimulatorProcess

TITLE = "peak memory of the sync process at 20,000 and 200,000 people, and with 3,000 children for each owner"
SIZES = (20_000, 200_000)
OWNERS = 60
CHILDREN_OF_ONE = 3_000


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
    for number, result in enumerate(_great_owners(bench), 1):
        label = f"{OWNERS} donations of {CHILDREN_OF_ONE:,} designations, full {number}: peak"
        bench.record.figure("MEMORY", label, result.peak_rss_mb, "MB", Goal(at_most=300))


def _great_owners(bench: Bench) -> list[Result]:
    """Two full syncs: the first finds that its pages are too much, the second begins with many small ones at once."""
    with SimulatorProcess(people=OWNERS) as simulator, bench.database() as database:
        new = {"operation": "create", "entity": "giving.Designation", "count": CHILDREN_OF_ONE}
        for donation in simulator.state("giving.Donation"):
            simulator.churn([{**new, "relationships": {"donation": donation["id"]}}])
        results = []
        for _ in range(2):
            bench.forget_budget()
            with bench.program("ours", ORG, "giving.Donation", simulator=simulator, database=database) as running:
                running.go()
                result = running.result()
            assert result.rows == OWNERS, result
            results.append(result)
        return results
