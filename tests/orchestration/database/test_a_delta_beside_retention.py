"""A delta costs no more CPU while retention works through a year's backlog than alone in the same ledger."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import psutil
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from flows.sync_organization import sync_organization
from pco_store.retention.removing import remove_what_is_over
from tests.church import PEOPLE, Church
from tests.databases import opened
from tests.forked_programs import forking
from tests.integration.pco_store.retention.test_a_years_backlog import DAYS, fill
from tests.simulators import SimulatorProcess

LISTS: Final = (PEOPLE, "people.Email", "people.Household", "groups.Group", "giving.Donation", "giving.Fund")
DELTAS: Final = 12
MOST: Final = 1.1
"""Of what it costs alone. Two programs on two cores slow each other down, and CPU is counted in hundredths."""


@dataclass(kw_only=True)
class Costs:
    """Seconds of CPU of one delta: our process, and Postgres' for the connections that it made."""

    ours: float
    postgres: float


@contextmanager
def counted() -> Iterator[list[float]]:
    """The CPU of each connection's server process, taken when the connection is closed."""
    seconds: list[float] = []

    def count(connection: Any, _: Any) -> None:
        times = psutil.Process(connection.driver_connection.get_server_pid()).cpu_times()
        seconds.append(times.user + times.system)

    event.listen(Pool, "close", count)
    try:
        yield seconds
    finally:
        event.remove(Pool, "close", count)


def delta(church: Church, number: int) -> Costs:
    """What changed since the last one: a person and a donation."""
    at = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    changed = {PEOPLE: "nickname", "giving.Donation": "memo"}
    church.simulator.churn([
        {"operation": "edit", "entity": entity, "place": number, "attributes": {name: f"{at}", "updated_at": at}}
        for entity, name in changed.items()
    ])  # fmt: skip
    with counted() as postgres:
        before = time.process_time()
        sync_organization("grace", mode="delta", include=list(LISTS))
        ours = time.process_time() - before
    assert postgres, "it has closed the connections that it made"
    return Costs(ours=ours, postgres=sum(postgres))


def told(costs: list[Costs]) -> dict[str, float]:
    return {
        "ours": round(median(one.ours for one in costs), 3),
        "postgres": round(median(one.postgres for one in costs), 3),
        "both": round(median(one.ours + one.postgres for one in costs), 3),
        "of": len(costs),
    }


def remove(database_url: str) -> None:
    """In a process of its own, as the deployment does it."""

    async def work() -> None:
        database = opened(database_url)
        try:
            await remove_what_is_over(database)
        finally:
            await database.aclose()

    asyncio.run(work())


@pytest.mark.nightly
def test_a_delta_costs_the_same_alone_and_beside_the_removal_of_a_years_backlog(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_fill(church.database_url))
    church.sql("SELECT setval(pg_get_serial_sequence('sync.runs', 'run_id'), (SELECT max(run_id) FROM sync.runs))")
    with SimulatorProcess(people=500, groups=25) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        moving = church.served_by(world)
        for mode in ("lists", "delta", "delta"):
            sync_organization("grace", mode=mode, include=list(LISTS))
        before = [delta(moving, number) for number in range(DELTAS)]
        backlog = moving.sql("SELECT count(*) FROM sync.runs")[0][0]
        removal = forking.Process(target=remove, args=(church.database_url,))
        began = time.monotonic()
        removal.start()
        beside: list[Costs] = []
        while removal.is_alive():
            beside.append(delta(moving, len(beside) % 100))
        seconds = time.monotonic() - began
        removal.join()
        assert removal.exitcode == 0
        removed = backlog - moving.sql("SELECT count(*) FROM sync.runs")[0][0]
        after = [delta(moving, number) for number in range(DELTAS)]
    costs = {"before": told(before), "beside": told(beside[:-1]), "after": told(after)}
    print(costs, f"{removed} of {backlog} runs removed in {seconds:.0f} s")  # noqa: T201 - with -s
    assert len(beside) > DELTAS, "it was at work all the time"
    alone = max(costs["before"]["both"], costs["after"]["both"])
    assert costs["beside"]["both"] <= MOST * alone, costs


async def _fill(database_url: str) -> None:
    database = opened(database_url)
    try:
        await fill(database, datetime.now(UTC), DAYS)
    finally:
        await database.aclose()
