"""kill -9 at any instruction costs at most the pages in flight: the next start continues from the ledger."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from tests.church import PEOPLE, Church
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.stack import Stack, wait_until

IN_FLIGHT = 4
PAGES = 20
SETTINGS = {"PCO_SYNC_PAGE_SIZE": "6", "PCO_SYNC_PAGES_IN_FLIGHT": str(IN_FLIGHT), "PCO_SYNC_LEASE_SECONDS": "2"}


@pytest.fixture
def church_in_twenty_pages(church: Church, monkeypatch: pytest.MonkeyPatch) -> Church:
    """A church whose 120 people are twenty pages."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return church


def _process(church: Church, folder: Path, **parameters: str) -> SyncProcess:
    return SyncProcess({**church.environment(), **SETTINGS}, folder, org_id="grace", entity=PEOPLE, **parameters)


def _requests(church: Church) -> int:
    return int(church.simulator.stats()["requests"])


def _kill_after(church: Church, process: SyncProcess, requests: int) -> None:
    """Kill it when PCO has been asked so many pages; PCO is silent from then until it is dead."""
    wait_until(lambda: _requests(church) >= requests, f"{requests} requests were sent")
    with church.silence():
        process.kill()


def test_a_sync_that_is_killed_again_and_again_reads_no_committed_page_twice(
    church_in_twenty_pages: Church, stack: Stack, tmp_path: Path
) -> None:
    church, chance = church_in_twenty_pages, random.Random(2)
    church.simulator.latency(UNHURRIED_MS)
    losses = ["nothing", "Redis", "Redis and files"]
    chance.shuffle(losses)
    reads: Counter[tuple[str, int]] = Counter()
    for loss in losses:
        with _process(church, tmp_path) as process:
            _kill_after(church, process, chance.randint(1, 6))
        if loss != "nothing":
            _empty_redis(church)
        if loss == "Redis and files":
            shutil.rmtree(stack.prefect_home / "storage", ignore_errors=True)
        reads += _only_new_pages(church)
    church.simulator.latency(0)
    with _process(church, tmp_path) as process:
        assert process.result()["state"] == "Completed"
    reads += _only_new_pages(church)
    assert len(reads) == PAGES
    assert sum(reads.values()) <= PAGES + len(losses) * IN_FLIGHT
    assert church.differences() == []
    (run,) = church.runs()
    assert (run.state, run.fence) == ("completed", len(losses) + 1)


def _only_new_pages(church: Church) -> Counter[tuple[str, int]]:
    """What the last process read; makes sure that the ledger did not hold any of it before."""
    reads = church.reads()
    held_before = {
        row[0]
        for row in church.sql("""
        SELECT "offset" FROM sync.pages JOIN sync.runs USING (run_id) WHERE pages.fence < runs.fence
    """)
    }
    assert not held_before & {offset for _, offset in reads}
    church.simulator.reset_log()
    return reads


def _empty_redis(church: Church) -> None:
    """The rate budget, the progress, and Prefect's receipts of the pages."""
    with Redis.from_url(church.redis_url) as redis:
        redis.flushall()


def test_killed_while_a_page_is_being_committed_neither_rows_nor_checkpoint_are_there(
    church_in_twenty_pages: Church, tmp_path: Path
) -> None:
    church = church_in_twenty_pages
    with church.checkpoints_wait(), _process(church, tmp_path) as process:
        wait_until(lambda: church.waiting_transactions() > 0, "a page is at its commit")
        assert church.rows() == []
        process.kill()
    assert (church.rows(), church.committed()) == ([], set())
    assert church.sync().continued
    assert church.differences() == []


def test_two_processes_that_start_at_the_same_instant_give_one_execution(
    church_in_twenty_pages: Church, tmp_path: Path
) -> None:
    church = church_in_twenty_pages
    church.simulator.latency(40)
    with _process(church, tmp_path, epoch="monday") as one, _process(church, tmp_path, epoch="monday") as other:
        ended = sorted((one.result(), other.result()), key=lambda told: str(told["state"]))
    refused, done = ended
    assert (refused["state"], done["state"]) in [("AlreadyRunning", "Completed"), ("AlreadyCompleted", "Completed")]
    assert done["flow_run_id"] in refused["message"]
    assert church.reads() == Counter(dict.fromkeys(church.reads(), 1))
    assert len(church.reads()) == PAGES
    assert church.differences() == []


def test_a_process_that_slept_past_its_lease_cannot_write_any_more(
    church_in_twenty_pages: Church, tmp_path: Path
) -> None:
    church = church_in_twenty_pages
    church.simulator.latency(UNHURRIED_MS)
    with _process(church, tmp_path, epoch="monday") as sleeper:
        wait_until(lambda: _requests(church) >= 5, "some pages are read and some are in flight")
        sleeper.pause()
        church.simulator.latency(0)
        before = church.committed()
        assert 0 < len(before) < PAGES
        church.sql("UPDATE sync.runs SET lease_until = now() + interval '1 hour'")
        assert church.end(epoch="monday").name == "AlreadyRunning", "its lease holds"
        church.sql("UPDATE sync.runs SET lease_until = now()")
        summary = church.sync(epoch="monday")
        assert (summary.continued, summary.records) == (True, 120)
        after = church.sql('SELECT "offset", fence FROM sync.pages ORDER BY 1')
        sleeper.resume()
        told = sleeper.result()
    assert told["state"] == "Failed"
    assert "another execution has taken over" in told["message"]
    assert church.sql('SELECT "offset", fence FROM sync.pages ORDER BY 1') == after
    assert {row.offset for row in after if row.fence == 1} == before
    assert [run.state for run in church.runs()] == ["completed"]
    assert church.differences() == []


def test_a_process_that_slept_while_its_epoch_was_restarted_commits_nothing_of_what_it_has_in_hand(
    church_in_twenty_pages: Church, tmp_path: Path
) -> None:
    """Its lease is long, so that it is the commit that is refused, and not a renewal that comes before."""
    church = church_in_twenty_pages
    church.simulator.latency(UNHURRIED_MS)
    environment = {**church.environment(), **SETTINGS, "PCO_SYNC_LEASE_SECONDS": "60"}
    with SyncProcess(environment, tmp_path, org_id="grace", entity=PEOPLE, epoch="monday") as sleeper:
        wait_until(lambda: _requests(church) >= 5, "some pages are read and some are in flight")
        sleeper.pause()
        church.simulator.latency(0)
        assert church.sync(epoch="monday", on_conflict="restart").records == 120
        after = church.sql('SELECT run_id, "offset" FROM sync.pages ORDER BY 1, 2')
        sleeper.resume()
        told = sleeper.result()
    assert told["state"] == "Failed"
    assert "another execution has taken over" in told["message"]
    assert church.sql('SELECT run_id, "offset" FROM sync.pages ORDER BY 1, 2') == after
    assert [run.state for run in church.runs()] == ["closed", "completed"]
    assert church.differences() == []
