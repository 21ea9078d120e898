"""W4: kill -9 at page 100 of 200, and start again in a new process."""

import asyncio
import time
from collections import Counter
from statistics import median

import asyncpg

from benchmarks.bench import IN_FLIGHT, ORG, PEOPLE, Bench, middle
from benchmarks.figures import Goal
from benchmarks.program_run import Result
from pco_simulator.testing import SimulatorProcess

TITLE = "kill -9 at page 100 of 200, start again"
PAGES = 200
KILL_AT = 100
PATIENCE = 120.0
PAGES_OF_PEOPLE = "FROM sync.pages JOIN sync.runs USING (run_id) WHERE entity = 'people.Person'"


def measure(bench: Bench) -> None:
    """Every run: kill, resume, and a sync of only as many pages as the resumed one had left."""
    twice: list[int] = []
    wrong: list[int] = []
    resumed: list[Result] = []
    left: list[int] = []
    with SimulatorProcess(people=PEOPLE, prepare=["people.Person"]) as simulator:
        for _ in range(bench.runs):
            result, fetched_twice, pages_left, rows_wrong = _kill_and_resume(bench, simulator)
            resumed.append(result)
            twice.append(fetched_twice)
            left.append(pages_left)
            wrong.append(rows_wrong)
    people_left = round(median(left)) * PEOPLE // PAGES
    with SimulatorProcess(people=people_left, prepare=["people.Person"]) as simulator:
        compared = [bench.run("W4", "only these pages", "ours", ORG, simulator=simulator) for _ in range(bench.runs)]
    process = middle(resumed, lambda one: one.process_seconds)
    figure = bench.record.figure
    figure("W4", "pages fetched twice, most", max(twice), "", Goal(at_most=IN_FLIGHT))
    figure("W4", "rows missing, doubled or unknown", max(wrong), "", Goal(at_most=0))
    figure("W4", "pages left to the resumed run", median(left))
    figure("W4", "the resumed run, process start to end", process, "s")
    figure("W4", "a run of only these pages: the work", middle(compared, lambda one: one.work_seconds), "s")
    figure(
        "W4",
        "resumed run, with process start, beyond these pages' work",
        process - middle(compared, lambda one: one.work_seconds),
        "s",
        Goal(at_most=3.0),
    )
    figure(
        "W4",
        "resumed process beyond a whole process of only these pages",
        process - middle(compared, lambda one: one.process_seconds),
        "s",
    )


def _kill_and_resume(bench: Bench, simulator: SimulatorProcess) -> tuple[Result, int, int, int]:
    bench.settle()
    bench.forget_budget()
    simulator.reset_log()
    with bench.database() as database:
        with bench.program("ours", ORG, simulator=simulator, database=database) as sync:
            sync.go()
            asyncio.run(_wait_for_pages(database, KILL_AT))
            sync.kill()
        committed = asyncio.run(_count(database, f"SELECT count(*) {PAGES_OF_PEOPLE}"))
        with bench.program("ours", ORG, simulator=simulator, database=database) as sync:
            sync.go()
            result = sync.result()
        fetched = Counter(one["offset"] for one in simulator.access_log() if one["status"] == 200)
        twice = sum(count - 1 for count in fetched.values())
        wrong = asyncio.run(_rows_wrong(database, {one["id"] for one in simulator.state("people.Person")}))
    values = {"killed_at": committed, "fetched_twice": twice, "process_seconds": result.process_seconds}
    bench.record.sample("W4", "killed and resumed", {**values, "work_seconds": result.work_seconds})
    return result, twice, PAGES - committed, wrong


async def _wait_for_pages(database: str, pages: int) -> None:
    connection = await asyncpg.connect(database)
    deadline = time.monotonic() + PATIENCE
    try:
        while await connection.fetchval(f"SELECT count(*) {PAGES_OF_PEOPLE}") < pages:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the sync did not commit {pages} pages in {PATIENCE:g} s")
            await asyncio.sleep(0.005)
    finally:
        await connection.close()


async def _count(database: str, statement: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval(statement))
    finally:
        await connection.close()


async def _rows_wrong(database: str, due: set[str]) -> int:
    """Records without a row, rows without a record, and records that more or fewer pages than one hold."""
    connection = await asyncpg.connect(database)
    try:
        rows = {row["id"] for row in await connection.fetch("SELECT id FROM people.person WHERE _deleted_at IS NULL")}
        seen = Counter(row["id"] for row in await connection.fetch(f"SELECT unnest(ids) AS id {PAGES_OF_PEOPLE}"))
    finally:
        await connection.close()
    return len(rows ^ due) + sum(1 for count in seen.values() if count != 1)
