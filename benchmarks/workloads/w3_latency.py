"""W3: an API that takes its time: 60 ms without a limit, then 300 ms and 1 s with PCO's limit, for two minutes."""

import time

from benchmarks.bench import IN_FLIGHT, ORG, PEOPLE, Bench, middle
from benchmarks.budget_share import LIMIT, PERIOD_SECONDS, budget_share
from benchmarks.figures import Goal
from benchmarks.program_run import Result
from pco_simulator.testing import SimulatorProcess

TITLE = "the same at 60 ms; share of PCO's budget at 300 ms and 1 s"
PROGRAMS = {
    "by hand, 8 in flight": ("by_hand", "8"),
    "plain Prefect": ("plain_prefect", str(IN_FLIGHT)),
    "pco-sync": ("ours", ORG),
}
WINDOWS = 6
SMALL_PAGE = "25"
"""800 pages of 20,000 people: enough for two minutes, and below the offsets where PCO counts harder."""


def measure(bench: Bench) -> None:
    """First without a limit, then with it."""
    _measure_60_ms(bench)
    for milliseconds in (300, 1000):
        _measure_share(bench, milliseconds)


def _measure_60_ms(bench: Bench) -> None:
    results: dict[str, list[Result]] = {label: [] for label in PROGRAMS}
    with SimulatorProcess(people=PEOPLE, prepare=["people.Person"], latency_ms=60) as simulator:
        for _ in range(bench.runs):
            for label, (program, *arguments) in PROGRAMS.items():
                results[label].append(bench.run("W3", label, program, *arguments, simulator=simulator))
    work = {label: middle(runs, lambda one: one.work_seconds) for label, runs in results.items()}
    figure = bench.record.figure
    for label, seconds in work.items():
        figure("W3", f"60 ms, {label}: the work", seconds, "s")
    figure(
        "W3",
        "60 ms, pco-sync / by hand, 8 in flight",
        work["pco-sync"] / work["by hand, 8 in flight"],
        "x",
        Goal(at_most=1.6),
    )
    figure("W3", "60 ms, pco-sync / plain Prefect", work["pco-sync"] / work["plain Prefect"], "x")


def _measure_share(bench: Bench, milliseconds: int) -> None:
    """Counted at the simulator; the sync is killed once the time is over."""
    bench.settle()
    bench.forget_budget()
    with (
        SimulatorProcess(
            people=PEOPLE, prepare=["people.Person"], latency_ms=milliseconds, rate_limit=f"{LIMIT}/{PERIOD_SECONDS}"
        ) as simulator,
        bench.database() as database,
        bench.program(
            "ours", ORG, simulator=simulator, database=database, settings={"PCO_SYNC_PAGE_SIZE": SMALL_PAGE}
        ) as sync,
    ):
        sync.go()
        deadline = time.monotonic() + WINDOWS * PERIOD_SECONDS * 1.2
        while simulator.stats()["requests"] <= WINDOWS * LIMIT and time.monotonic() < deadline and not sync.is_over:
            time.sleep(0.25)
        sync.kill()
        log, refused = simulator.access_log(), simulator.stats()["refused"]
    share = budget_share(log, windows=WINDOWS, longest_answer_seconds=1.5 * milliseconds / 1000)
    label = f"{milliseconds} ms, limit on"
    bench.record.sample("W3", label, {"requests": len(log), "refused": refused})
    figure = bench.record.figure
    figure("W3", f"{label}: answered in two minutes", 100 * share.answered, "%", Goal(at_least=98))
    figure("W3", f"{label}: share in the long run", 100 * share.in_the_long_run, "%", Goal(at_least=98))
    figure("W3", f"{label}: refused (429)", refused, "", Goal(at_most=0))
