"""The clock of the database, by which leases, windows and ages are measured, jumps by a day: no change is lost."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.days import install_clock, move_clock
from tests.church import PEOPLE, Church
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

SMALL_PAGES = {"PCO_SYNC_PAGE_SIZE": "6", "PCO_SYNC_PAGES_IN_FLIGHT": "2", "PCO_SYNC_LEASE_SECONDS": "60"}
"""Twenty pages, by a worker that does not renew its lease while a test lasts."""


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=120, groups=0) as simulator:
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world; the clock of its database can be moved."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    asyncio.run(install_clock(church.database_url))
    return church.served_by(world)


def jump(church: Church, *, to: int) -> None:
    """So many days ahead of PCO, for connections that are opened from now on."""
    asyncio.run(move_clock(church.database_url, to))


def a_moment_ago() -> str:
    """By PCO's clock. What is newer than a few seconds is left to the next delta."""
    return (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_changes_around_a_jump_are_seen_by_deltas_and_by_full_syncs(moving: Church, world: SimulatorProcess) -> None:
    moving.sync()
    for number, days in enumerate((1, 0, -1, 0)):
        jump(moving, to=days)
        for mode in ("delta", "full"):
            edited = {"nickname": f"{mode} {number}", "updated_at": a_moment_ago()}
            world.churn([{"operation": "edit", "entity": PEOPLE, "place": 7 * number, "attributes": edited}])
            moving.sync(mode=mode)
            assert moving.differences() == [], f"{mode}, {days} days ahead"


def test_a_sync_whose_lease_is_over_by_a_jump_is_taken_over_and_cannot_write_any_more(
    moving: Church, world: SimulatorProcess, tmp_path: Path
) -> None:
    world.latency(UNHURRIED_MS)
    with SyncProcess({**moving.environment(), **SMALL_PAGES}, tmp_path, org_id="grace", entity=PEOPLE) as first:
        wait_until(lambda: len(moving.committed()) >= 3, "some pages are committed")
        first.pause()
        world.latency(0)
        jump(moving, to=1)
        assert moving.sync().continued
        first.resume()
        told = first.result()
    assert told["state"] == "Failed"
    assert "another execution has taken over" in told["message"]
    assert moving.differences() == []
    assert [run.state for run in moving.runs()] == ["completed"]


def test_a_dead_worker_whose_lease_lasts_until_tomorrow_is_not_waited_for(
    moving: Church, world: SimulatorProcess, tmp_path: Path
) -> None:
    jump(moving, to=1)
    world.latency(UNHURRIED_MS)
    with SyncProcess({**moving.environment(), **SMALL_PAGES}, tmp_path, org_id="grace", entity=PEOPLE) as dead:
        wait_until(lambda: len(moving.committed()) >= 3, "some pages are committed")
        dead.kill()
    world.latency(0)
    jump(moving, to=0)
    assert moving.sync().continued
    assert moving.differences() == []
