"""A server that restarts in the middle costs time, and nothing else."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from redis import Redis

import embedded.prefect_server
import embedded.redis_server
from tests.church import PEOPLE, Church
from tests.conftest import FAST_AND_FORGETFUL
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.stack import Stack, wait_until

PATIENT = {
    "PCO_SYNC_PAGE_SIZE": "6",
    "PCO_SYNC_PAGES_IN_FLIGHT": "4",
    "PCO_SYNC_RETRY_FIRST_SECONDS": "0.2",
    "PCO_SYNC_RETRY_TOTAL_SECONDS": "30",
    "PCO_SYNC_LEASE_SECONDS": "2",
}
"""Retries that outlast a restart, and a lease that is renewed during it."""
PAGES = 20


@pytest.fixture
def running(church: Church, tmp_path: Path) -> Iterator[SyncProcess]:
    """A sync that has read some of its twenty pages; the rest is to come."""
    church.simulator.latency(UNHURRIED_MS)
    with SyncProcess({**church.environment(), **PATIENT}, tmp_path, org_id="grace", entity=PEOPLE) as process:
        wait_until(lambda: len(church.committed()) >= 4, "some pages are committed")
        assert len(church.committed()) < PAGES
        yield process


def test_postgres_restarts(church: Church, running: SyncProcess, stack: Stack) -> None:
    with church.silence():
        stack.postgres.stop()
        stack.postgres.start(FAST_AND_FORGETFUL)
    church.simulator.latency(0)
    assert running.result()["state"] == "Completed"
    assert church.differences() == []
    assert sum(church.reads().values()) <= PAGES + 4


def test_postgres_is_away_when_a_sync_starts(church: Church, tmp_path: Path) -> None:
    home = parse_qs(urlsplit(church.database_url).query)["host"][0]
    door = Path(home) / "door"
    door.mkdir()
    environment = {
        **church.environment(),
        **PATIENT,
        "PCO_SYNC_DATABASE_URL": church.database_url.replace(home, str(door)),
    }
    with SyncProcess(environment, tmp_path, org_id="grace", entity=PEOPLE) as process:
        wait_until(lambda: "the ledger is away" in process.told_so_far(), "it has found the door closed")
        for socket in Path(home).glob(".s.PGSQL.*[0-9]"):
            (door / socket.name).symlink_to(socket)
        assert process.result()["state"] == "Completed"
    assert sorted(church.reads().values()) == [1] * PAGES
    assert church.differences() == []


def test_redis_restarts_empty(
    church: Church, running: SyncProcess, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(stack.redis.url.rsplit(":", 1)[1].split("/")[0])
    monkeypatch.setattr(embedded.redis_server, "PREFERRED_PORT", port)
    with church.silence():
        with Redis.from_url(stack.redis.url) as redis:
            redis.flushall()
        stack.redis.stop()
        stack.redis.start()
    church.simulator.latency(0)
    assert running.result()["state"] == "Completed"
    assert church.reads() == Counter(dict.fromkeys(church.reads(), 1))
    assert church.differences() == []


def test_the_prefect_server_restarts(
    church: Church, running: SyncProcess, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(stack.prefect.ui_url.rsplit(":", 1)[1])
    monkeypatch.setattr(embedded.prefect_server, "PREFERRED_PORT", port)
    with church.silence():
        stack.prefect.stop()
    church.simulator.latency(0)
    wait_until(lambda: church.runs()[0].state == "completed", "all pages are read without Prefect")
    stack.prefect.start(stack.postgres.url("prefect", "postgresql+asyncpg"))
    assert running.result()["state"] == "Completed"
    assert sorted(church.reads().values()) == [1] * PAGES
    assert church.differences() == []


def test_the_disk_of_postgres_is_full_and_has_room_again(church: Church, stack: Stack, tmp_path: Path) -> None:
    """The kernel says so, to a real PostgreSQL: the file of the checkpoints is on a device that is always full."""
    (found,) = church.sql("SELECT pg_relation_filepath('sync.pages') AS path")
    file = stack.postgres.data / found.path
    assert file.stat().st_size == 0
    file.unlink()
    file.symlink_to("/dev/full")
    try:
        with SyncProcess({**church.environment(), **PATIENT}, tmp_path, org_id="grace", entity=PEOPLE) as process:
            wait_until(lambda: "DiskFullError" in process.told_so_far(), process.told_so_far)
            assert church.rows() == []
            church.sql("TRUNCATE sync.pages")  # another file, and with it the disk that has room
            assert process.result()["state"] == "Completed"
    except BaseException:
        church.sql("TRUNCATE sync.pages")  # the next test gets this database
        raise
    assert church.differences() == []
    assert len(church.committed()) == PAGES
