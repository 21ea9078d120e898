"""A database that was restored from an older copy catches up; nothing that it does not know is believed."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.sync_organization import sync_organization
from pco_client.errors import Forbidden
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from tests.church import PEOPLE, Church
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.integration.requests import run_request
from tests.older_copy import OlderCopy
from tests.simulators import SimulatorProcess
from tests.stack import Stack, wait_until

LISTS = ("people.Person", "people.Email", "people.Campus", "groups.Group")
COUNT = 300
SMALL_PAGES = {
    "PCO_SYNC_PAGE_SIZE": "12",
    "PCO_SYNC_PAGES_IN_FLIGHT": "2",
    "PCO_SYNC_LEASE_SECONDS": "60",
    "PCO_SYNC_RETRY_FIRST_SECONDS": "0.2",
    "PCO_SYNC_RETRY_TOTAL_SECONDS": "30",
}
"""25 pages of people, by a worker that outlasts a restore and does not renew its lease before a test is over."""


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=COUNT, groups=8) as simulator:
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    return church.served_by(world)


@pytest.fixture
def copy(moving: Church, stack: Stack, tmp_path: Path) -> OlderCopy:
    """A copy that is still to be taken."""
    return OlderCopy(stack.postgres, moving.database_url, tmp_path)


def edit(world: SimulatorProcess, *places: int, nickname: str) -> None:
    changed = {"updated_at": a_moment_ago(), "nickname": nickname}
    world.churn([{"operation": "edit", "entity": PEOPLE, "place": place, "attributes": changed} for place in places])


def a_moment_ago() -> str:
    """What is newer than a few seconds is left to the next delta."""
    return (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sync(church: Church, **parameters: Any) -> Any:
    return sync_organization(church.org_id, include=list(LISTS), **parameters)


def test_deltas_catch_up_from_the_restored_watermarks_and_a_full_sync_finds_what_they_cannot_tell(
    moving: Church, world: SimulatorProcess, copy: OlderCopy
) -> None:
    sync(moving)
    copy.take()
    edit(world, 1, 2, 150, nickname="after the copy")
    sync(moving, mode="delta")
    gone = [str(world.state(PEOPLE)[place]["id"]) for place in (7, 8)]
    world.churn([{"operation": "delete", "entity": PEOPLE, "id": one} for one in gone])
    new = dict.fromkeys(("created_at", "updated_at"), a_moment_ago())
    world.churn([{"operation": "create", "entity": PEOPLE, "count": 3, "attributes": new}])
    sync(moving)
    assert moving.differences() == []
    edit(world, 2, 3, nickname="later still")

    copy.restore()
    world.reset_log()
    sync(moving, mode="delta")
    assert moving.differences() == sorted(f"{one}: not in PCO" for one in gone), "which no delta can tell"
    assert world.stats()["requests"] <= 2 * len(LISTS)
    sync(moving, mode="lists")

    for entity in LISTS:
        assert moving.differences(entity) == []


def test_pages_that_only_a_lost_ledger_held_are_read_again(
    moving: Church, world: SimulatorProcess, copy: OlderCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SMALL_PAGES.items():
        monkeypatch.setenv(name, value)
    world.faults([{"kind": "403", "at_request": 9}])
    with pytest.raises(Forbidden):
        moving.sync()
    held = moving.committed()
    assert 3 <= len(held) < 20
    copy.take()
    assert moving.sync().records == COUNT
    assert moving.differences() == []

    copy.restore()
    world.reset_log()
    summary = moving.sync()

    assert (summary.epoch, summary.continued, summary.records) == ("turn-1", True, COUNT)
    assert {offset for _, offset in moving.reads()} == set(range(0, COUNT, 12)) - held
    assert moving.differences() == []


def test_a_worker_that_outlives_its_ledger_writes_nothing_to_a_run_that_has_its_number_now(
    moving: Church, world: SimulatorProcess, copy: OlderCopy, tmp_path: Path
) -> None:
    copy.take()
    world.latency(UNHURRIED_MS)
    with SyncProcess({**moving.environment(), **SMALL_PAGES}, tmp_path, org_id="grace", entity=PEOPLE) as worker:
        wait_until(lambda: len(moving.committed()) >= 3, "some pages are committed")
        worker.pause()
        world.latency(0)
        (lost,) = moving.runs()
        copy.restore()
        asyncio.run(hold(moving, "people.Campus"))
        (new,) = moving.runs()
        assert (new.run_id, new.fence, new.state) == (lost.run_id, lost.fence, "running")
        worker.resume()
        told = worker.result()
    assert told["state"] == "Failed"
    assert "replaced by an older copy" in told["message"]
    assert moving.committed() == set()
    assert [(one.entity, one.state) for one in moving.runs()] == [("people.Campus", "running")]

    assert moving.sync().records == COUNT
    assert moving.differences() == []


def test_a_worker_whose_ledger_has_lost_pages_of_its_run_does_not_complete_it(
    moving: Church, world: SimulatorProcess, copy: OlderCopy, tmp_path: Path
) -> None:
    world.latency(UNHURRIED_MS)
    with SyncProcess({**moving.environment(), **SMALL_PAGES}, tmp_path, org_id="grace", entity=PEOPLE) as worker:
        wait_until(lambda: len(moving.committed()) >= 3, "some pages are committed")
        worker.pause()
        copy.take()
        held = moving.committed()
        worker.resume()
        wait_until(lambda: len(moving.committed()) >= len(held) + 4, "more pages are committed")
        worker.pause()
        world.latency(0)
        copy.restore()
        assert moving.committed() == held
        worker.resume()
        told = worker.result()
    assert told["state"] == "Failed"
    assert "replaced by an older copy" in told["message"]
    assert [one.state for one in moving.runs()] == ["failed"]
    assert moving.sql("SELECT 1 FROM sync.watermarks") == []

    assert moving.sync().continued
    assert moving.differences() == []


async def hold(church: Church, entity: str) -> None:
    """Another sync is running, as the ledger has it."""
    database = Database(church.database_url, pool_size=2)
    try:
        _, lease = await open_run(database, replace(run_request(epoch="other", lease_seconds=600), entity=entity))
        assert lease is not None
        await lease.release()
    finally:
        await database.aclose()
