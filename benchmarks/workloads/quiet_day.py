"""A quiet day: one record in a thousand changed since the last sync; what a delta asks for, and what it rewrites."""

import asyncio

import asyncpg

from benchmarks.bench import ORG, PEOPLE, Bench
from benchmarks.figures import Goal
from pco_simulator.testing import SimulatorProcess

TITLE = "20,000 people of whom 20 changed: requests and rewritten rows of a delta"
CHANGED = 20


def measure(bench: Bench) -> None:
    """Once: it is counted, not timed."""
    with SimulatorProcess(people=PEOPLE) as simulator, bench.database() as database:
        bench.settle()
        bench.forget_budget()
        for mode in ("full", "delta"):
            with bench.program("ours", ORG, "people.Person", mode, simulator=simulator, database=database) as program:
                program.go()
                program.result()
            if mode == "full":
                places = range(0, PEOPLE, PEOPLE // CHANGED)
                simulator.churn([{"operation": "edit", "entity": "people.Person", "place": one} for one in places])
                simulator.reset_log()
        requests = simulator.stats()["requests"]
        written = asyncio.run(_written_by_the_delta(database))
    figure = bench.record.figure
    figure("QUIET", "changed records", CHANGED, "")
    figure("QUIET", "requests", requests, "")
    figure("QUIET", "requests per changed row, beyond the first", (requests - 1) / CHANGED, "", Goal(at_most=0.05))
    figure("QUIET", "rows written", written, "", Goal(at_least=CHANGED, at_most=CHANGED))


async def _written_by_the_delta(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM people.person WHERE _epoch <> 'turn-1'"))
    finally:
        await connection.close()
