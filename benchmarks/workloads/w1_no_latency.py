"""W1: 20,000 people in 200 pages, no latency, no limit: what the work itself costs."""

from benchmarks.bench import IN_FLIGHT, ORG, PEOPLE, Bench, middle
from benchmarks.figures import Goal
from benchmarks.program_run import Result
from pco_simulator.testing import SimulatorProcess

TITLE = "20,000 people, no latency, no limit"
PROGRAMS = {
    "by hand, one at a time": ("by_hand", "1"),
    "by hand, 8 in flight": ("by_hand", "8"),
    "plain Prefect": ("plain_prefect", str(IN_FLIGHT)),
    "pco-sync": ("ours", ORG),
}


def measure(bench: Bench) -> None:
    """All programs, in turns."""
    results: dict[str, list[Result]] = {label: [] for label in PROGRAMS}
    with SimulatorProcess(people=PEOPLE, prepare=["people.Person"]) as simulator:
        for _ in range(bench.runs):
            for label, (program, *arguments) in PROGRAMS.items():
                result = bench.run("W1", label, program, *arguments, simulator=simulator)
                assert result.rows == PEOPLE, result
                results[label].append(result)
    work = {label: middle(runs, lambda one: one.work_seconds) for label, runs in results.items()}
    process = {label: middle(runs, lambda one: one.process_seconds) for label, runs in results.items()}
    cpu = {label: middle(runs, lambda one: one.work_cpu_seconds) for label, runs in results.items()}
    figure = bench.record.figure
    for label in PROGRAMS:
        figure("W1", f"{label}: the work", work[label], "s")
        figure("W1", f"{label}: CPU of the process for it", cpu[label], "s")
        figure("W1", f"{label}: the whole process", process[label], "s")
    ours, alone, eight, plain = (
        work[label] for label in ("pco-sync", "by hand, one at a time", "by hand, 8 in flight", "plain Prefect")
    )
    figure("W1", "pco-sync / by hand, one at a time", ours / alone, "x", Goal(at_most=3.0))
    figure("W1", "pco-sync / by hand, 8 in flight", ours / eight, "x")
    figure("W1", "pco-sync / plain Prefect", ours / plain, "x", Goal(at_most=1.0))
    figure("W1", "pco-sync / plain Prefect, whole process", process["pco-sync"] / process["plain Prefect"], "x")
    figure(
        "W1",
        "pco-sync / by hand, one at a time, CPU of the process",
        cpu["pco-sync"] / cpu["by hand, one at a time"],
        "x",
    )
    figure("W1", "pco-sync / plain Prefect, CPU of the process", cpu["pco-sync"] / cpu["plain Prefect"], "x")
