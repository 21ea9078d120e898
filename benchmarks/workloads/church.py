"""A whole church, every product: the requests that `plan` announces, those that the sync sends, and those of nights.

All requests are counted by the simulator. The church has twelve weekly events for each group, four of them to come, and
on request services of a volunteer and a plan for each twentieth person.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import Any

import asyncpg
import orjson

from benchmarks.bench import PEOPLE, Bench
from benchmarks.days import install_clock, move_clock
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, Fleet, fleet
from benchmarks.nights import changes_of
from benchmarks.wanted_first import last_of_the_first, recent_events
from deployments.operations.plan import make_plan
from flows.parameters import NIGHTLY_REQUESTS
from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import load_due_rules
from pco_simulator.invented.gatherings import MEMBERS_OF_A_GROUP
from pco_simulator.testing import SimulatorProcess
from tasks.deployment_runs import start_organization
from tasks.request_plan import Planned

TITLE = "a church of 20,000 people and 1,000 groups, all products: requests announced and sent; nights (--nights)"
PEOPLE_FOR_A_GROUP = 20
WORKERS = 2
LIMIT = 4
EPOCH = "church"
PATIENCE_SECONDS = 4 * 3600
LOOK_SECONDS = 2.0
DAY_SECONDS = 86_400

MOST_WITHOUT_PATTERNS = 45_000
MOST_OF_EVERYTHING = 90_000
"""Requests of a full sync; 289,879 at 09b67aa, which always read everything."""


def measure(bench: Bench) -> None:
    """Once, by two workers: it takes many minutes. With `bench.everything` also what only a pattern chooses."""
    include = ["*"] if bench.everything else []
    now = datetime.now(UTC)
    groups = bench.people // PEOPLE_FOR_A_GROUP
    services = groups if bench.has_volunteers else None
    with (
        SimulatorProcess(people=bench.people, groups=groups, volunteers=services, plans=services, now=now) as simulator,
        fleet(bench, simulator, workers=WORKERS, limit=LIMIT) as workers,
    ):
        os.environ["PCO_SYNC_DATABASE_URL"] = workers.database
        plan = asyncio.run(make_plan(ORG, "full", include, []))
        announced, cost = plan.requests, plan.own_requests
        assert cost == simulator.stats()["requests"], "the plan says what it has cost itself"
        sent, seconds = _run(simulator, workers, "full", EPOCH, include)
        events = simulator.state("groups.Event")
        wanted = last_of_the_first(simulator.access_log(), recent_events(events, now))
        compared = _compared(plan.planned, is_everything=bench.everything)
        wrong = asyncio.run(_tables_that_differ(workers.database, _shown(simulator.counts(), events, now), compared))
        figure = bench.record.figure
        most = MOST_OF_EVERYTHING if bench.everything else MOST_WITHOUT_PATTERNS
        is_of_the_goal = bench.people == PEOPLE and services is None
        figure("CHURCH", "requests announced", announced, "")
        figure("CHURCH", "requests of the plan itself", cost, "")
        figure("CHURCH", "requests sent", sent, "", Goal(at_most=most) if is_of_the_goal else None)
        figure("CHURCH", "announced and sent differ by", abs(announced - sent) / sent, "", Goal(at_most=0.10))
        figure("CHURCH", "groups, members, giving, attendance of four weeks: after requests", wanted, "")
        first_tenth = Goal(at_most=0.10) if bench.everything and is_of_the_goal else None
        figure("CHURCH", "that is a share of all of", wanted / sent, "", first_tenth)
        figure("CHURCH", "tables with other numbers of rows than the church", len(wrong), "", Goal(at_most=0))
        figure("CHURCH", "seconds", seconds, "s")
        bench.record.sample("CHURCH", "tables that differ", wrong)
        if bench.nights:
            asyncio.run(install_clock(workers.database))
            nights = [
                _night(bench, simulator, workers, night, now + timedelta(days=night), include)
                for night in range(1, bench.nights + 1)
            ]
            _tell_nights(bench, nights, None if services else Goal(at_most=_budget(bench)))


def _budget(bench: Bench) -> int:
    """Requests of a night: those of 20,000 people, and of fewer as many as they are."""
    return NIGHTLY_REQUESTS * bench.people // PEOPLE


def _night(
    bench: Bench, simulator: SimulatorProcess, workers: Fleet, night: int, now: datetime, include: list[str]
) -> dict[str, Any]:
    """A day goes by at the church and here; then a delta, and all that no delta can tell."""
    simulator.clock(ahead_seconds=night * DAY_SECONDS)
    workers.stop_workers()
    asyncio.run(move_clock(workers.database, night))
    workers.start_workers(WORKERS, limit=LIMIT)
    groups = bench.people // PEOPLE_FOR_A_GROUP
    simulator.churn(changes_of(night, people=bench.people, groups=groups, plans=_plans(simulator), now=now))
    delta, _ = _run(simulator, workers, "delta", f"{EPOCH}-{night}-delta", include)
    budget = _budget(bench)
    plan = asyncio.run(make_plan(ORG, "rest", include, []))
    epoch = f"{EPOCH}-{night}-rest"
    sent, seconds = _run(simulator, workers, "rest", epoch, include, budget=budget)
    waiting = asyncio.run(_result(workers.database, epoch))["waiting"]
    told = {
        "announced": plan.night.sent(budget) if plan.night else 0,
        "sent": sent,
        "budget": budget,
        "overdue": waiting["lists"],
        "overdue_days": waiting["longest_days"],
        "unread": sum(waiting["unread"].values()),
        "delta": delta,
        "seconds": round(seconds, 1),
    }
    bench.record.sample("CHURCH", f"night {night}", told)
    return told


def _tell_nights(bench: Bench, nights: Sequence[dict[str, Any]], budget: Goal | None) -> None:
    figure = bench.record.figure
    for name in ("announced", "sent", "overdue", "overdue_days", "delta"):
        values = [night[name] for night in nights]
        goal = budget if name == "sent" else None
        figure("CHURCH", f"{len(nights)} nights: {name.replace('_', ' ')}, mean", mean(values), "", goal)
        figure("CHURCH", f"{len(nights)} nights: {name.replace('_', ' ')}, worst", max(values), "", goal)
    announced, sent = (sum(night[name] for night in nights) for name in ("announced", "sent"))
    figure("CHURCH", "of all nights, announced and sent differ by", abs(announced - sent) / sent, "")


def _plans(simulator: SimulatorProcess) -> int:
    return simulator.counts()["services.Plan"]


def _shown(counts: dict[str, int], events: Sequence[dict[str, Any]], now: datetime) -> dict[str, int]:
    """How many records there are, but for attendances those of events that have begun: before, nobody lists them."""
    begun = sum(datetime.fromisoformat(one["attributes"]["starts_at"]) <= now for one in events)
    return counts | {"groups.Attendance": begun * MEMBERS_OF_A_GROUP}


def _compared(planned: Sequence[Planned], *, is_everything: bool) -> set[str]:
    """The entities of which all records should be in the mirror: those of which nothing is left to the nights."""
    entities = load_catalog().entities()
    if is_everything:
        return {entity.name for entity in entities}
    rules, left = load_due_rules(), {one.entity for one in planned if one.left}
    return {entity.name for entity in entities if not rules.of(entity).is_rare} - left


def _run(
    simulator: SimulatorProcess, workers: Fleet, mode: str, epoch: str, include: list[str], **how: Any
) -> tuple[int, float]:
    """Requests, as the simulator counts them, and seconds of one sync of the church."""
    simulator.reset_log()
    began = time.monotonic()
    asyncio.run(_sync(workers.database, mode, epoch, include, **how))
    return simulator.stats()["requests"], time.monotonic() - began


async def _sync(database_url: str, mode: str, epoch: str, include: list[str], **how: Any) -> None:
    """From the request to the church's end by the ledger. Raises `TimeoutError`, `RuntimeError`."""
    began = time.monotonic()
    await start_organization(
        ORG, epoch=epoch, mode=mode, include=include, groups_per_run=100, most_under_way=4000, **how
    )
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            row = await connection.fetchrow(
                "SELECT state, error FROM sync.runs WHERE key = $1", f"sync-organization:{ORG}:{epoch}"
            )
            if row is not None and row["state"] == "completed":
                return
            if row is not None and row["state"] == "failed":
                raise RuntimeError(row["error"])
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise TimeoutError(f"the church was {row} after {PATIENCE_SECONDS} s")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()


async def _result(database_url: str, epoch: str) -> dict[str, Any]:
    """What a church's run wrote down at its end."""
    connection = await asyncpg.connect(database_url)
    try:
        result: dict[str, Any] = orjson.loads(
            await connection.fetchval("SELECT result FROM sync.runs WHERE key = $1", f"sync-organization:{ORG}:{epoch}")
        )
        return result
    finally:
        await connection.close()


async def _tables_that_differ(database_url: str, counts: dict[str, int], compared: set[str]) -> dict[str, str]:
    """Rows and records of these entities, where their numbers differ."""
    connection, wrong = await asyncpg.connect(database_url), {}
    try:
        for entity in map(load_catalog().entity, sorted(compared)):
            table = f'"{entity.schema_name}"."{entity.table_name}"'
            rows = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE _deleted_at IS NULL")
            if rows != counts[entity.name]:
                wrong[entity.name] = f"{rows} of {counts[entity.name]}"
    finally:
        await connection.close()
    return wrong
