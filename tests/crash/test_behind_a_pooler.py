"""Syncs behind a pooler that lends a connection for each transaction: as exact as elsewhere, and one at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.church import PEOPLE, Church
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.pooler import Pooler, running
from tests.stack import Stack, wait_until

PAGES = 20
SMALL = {"PCO_SYNC_PAGE_SIZE": "6", "PCO_SYNC_PAGES_IN_FLIGHT": "4"}


@pytest.fixture
def pooled(church: Church, stack: Stack) -> Iterator[dict[str, str]]:
    """The environment of a process that reaches the church's database through a pooler with four connections."""
    database = str(make_url(church.database_url).database)
    socket = str(stack.postgres.data / ".s.PGSQL.5432")
    with running(Pooler(socket=socket, database=database, servers=4)) as pooler:
        yield {**church.environment(), **SMALL, "PCO_SYNC_DATABASE_URL": pooler.url}


def test_of_two_processes_that_start_the_same_sync_one_reads_every_page(
    church: Church, pooled: dict[str, str], tmp_path: Path
) -> None:
    church.simulator.latency(40)
    with (
        SyncProcess(pooled, tmp_path, org_id="grace", entity=PEOPLE, epoch="e") as one,
        SyncProcess(pooled, tmp_path, org_id="grace", entity=PEOPLE, epoch="e") as other,
    ):
        states = [one.result()["state"], other.result()["state"]]
    assert "Completed" in states
    assert any(one.startswith("Already") for one in states)
    assert [run.fence for run in church.runs()] == [1], "nobody took it over"
    assert sum(church.reads().values()) < PAGES + PAGES // 2, "the other one read nothing"
    assert church.differences() == []


def test_a_killed_process_is_followed_when_its_lease_has_run_out(
    church: Church, pooled: dict[str, str], tmp_path: Path
) -> None:
    church.simulator.latency(UNHURRIED_MS)
    short_lease = {**pooled, "PCO_SYNC_LEASE_SECONDS": "2"}
    with SyncProcess(short_lease, tmp_path, org_id="grace", entity=PEOPLE, epoch="e") as killed:
        wait_until(lambda: len(church.committed()) >= 4, "some pages are committed", seconds=60)
        killed.kill()
    church.simulator.latency(0)
    wait_until(
        lambda: bool(church.sql("SELECT 1 FROM sync.runs WHERE lease_until < now() AND read_with IS NULL")),
        "the lease has run out",
    )
    with SyncProcess(pooled, tmp_path, org_id="grace", entity=PEOPLE, epoch="e") as following:
        assert following.result()["state"] == "Completed"
    assert [run.fence for run in church.runs()] == [2]
    assert church.differences() == []
    assert sum(church.reads().values()) <= PAGES + 4
