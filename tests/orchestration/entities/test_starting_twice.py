"""A sync whose key is running or completed does not start again; one that was interrupted is continued."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State, StateType

from flows.sync_entity import SyncRejectedError, sync_entity
from pco_client.errors import Forbidden
from tests.church import PEOPLE, Church, read_flow_run

SMALL_PAGES = {"PCO_SYNC_PAGE_SIZE": "12", "PCO_SYNC_PAGES_IN_FLIGHT": "2"}
"""Ten pages of the 120 people."""


@pytest.fixture
def church_in_ten_pages(church: Church, monkeypatch: pytest.MonkeyPatch) -> Church:
    """A church whose people are ten pages."""
    for name, value in SMALL_PAGES.items():
        monkeypatch.setenv(name, value)
    return church


async def _started(church: Church) -> asyncio.Task[State[Any]]:
    """A sync that has asked PCO for its first page, and has many to go."""
    church.simulator.latency(400)
    running = asyncio.create_task(sync_entity("grace", PEOPLE, epoch="monday", return_state=True))
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(church.reads):  # noqa: ASYNC110 - it is another process that has to act
            await asyncio.sleep(0.01)
    return running


def test_a_completed_epoch_is_not_started_again_and_its_run_is_linked(church: Church) -> None:
    church.sync(epoch="monday")
    (run,) = church.runs()
    state = church.end(epoch="monday")
    assert (state.is_completed(), state.name) == (True, "AlreadyCompleted")
    assert "sync-entity:grace:people.Person:monday is completed: " in str(state.message)
    assert str(state.message).endswith(f"/runs/flow-run/{run.flow_run_id}")
    assert read_flow_run(state.state_details.flow_run_id).state_name == "AlreadyCompleted"
    assert sum(church.reads().values()) == 2


def test_a_running_epoch_is_joined_and_every_page_is_read_once(church_in_ten_pages: Church) -> None:
    church = church_in_ten_pages

    async def main() -> None:
        first = await _started(church)
        with church.silence():
            second = await sync_entity("grace", PEOPLE, epoch="monday", return_state=True)
            third = await sync_entity("grace", PEOPLE, return_state=True)
        ended = await first
        assert (ended.name, second.name, third.name) == ("Completed", "AlreadyRunning", "AlreadyRunning")
        assert str(ended.state_details.flow_run_id) in str(second.message)

    asyncio.run(main())
    assert sorted(church.reads().values()) == [1] * 10
    assert church.differences() == []


def test_reject_fails_and_says_who_runs_it(church: Church) -> None:
    church.sync(epoch="monday")
    (run,) = church.runs()
    with pytest.raises(SyncRejectedError, match=rf"monday is completed: .*{run.flow_run_id}; on_conflict is 'reject'"):
        church.sync(epoch="monday", on_conflict="reject")
    assert len(church.runs()) == 1


def test_restart_of_a_completed_epoch_reads_everything_again_under_the_same_key(church: Church) -> None:
    church.sync(epoch="monday")
    summary = church.sync(epoch="monday", on_conflict="restart")
    assert (summary.unchanged, summary.continued) == (120, False)
    assert [(one.state, one.key) for one in church.runs()] == [
        ("closed", f"sync-entity:grace:people.Person:monday#closed-{church.runs()[0].run_id}"),
        ("completed", "sync-entity:grace:people.Person:monday"),
    ]
    assert set(church.reads().values()) == {2}


def test_restart_takes_a_running_epoch_from_its_holder_who_says_so(church_in_ten_pages: Church) -> None:
    church = church_in_ten_pages

    async def main() -> None:
        first = await _started(church)
        second = await sync_entity("grace", PEOPLE, epoch="monday", on_conflict="restart", return_state=True)
        ended = await first
        assert (ended.type, second.name) == (StateType.FAILED, "Completed")
        assert "another execution has taken over" in str(ended.message)

    asyncio.run(main())
    assert church.differences() == []
    assert [one.state for one in church.runs()] == ["closed", "completed"]


def test_without_an_epoch_what_failed_is_continued_and_what_succeeded_opens_a_new_turn(
    church_in_ten_pages: Church,
) -> None:
    church = church_in_ten_pages
    church.simulator.faults([{"kind": "403", "at_request": 6}])
    with pytest.raises(Forbidden):
        church.sync()
    before = church.committed()
    assert 3 <= len(before) < 10
    church.simulator.reset_log()
    summary = church.sync()
    assert (summary.epoch, summary.continued, summary.records) == ("turn-1", True, 120)
    assert {offset for _, offset in church.reads()} == set(range(0, 120, 12)) - before
    assert church.sync().epoch == "turn-2"
    assert church.differences() == []


def test_another_epoch_is_another_sync(church: Church) -> None:
    assert church.sync(epoch="monday").new == 120
    assert church.sync(epoch="tuesday").unchanged == 120
    assert church.end(epoch="monday").name == "AlreadyCompleted"


def test_an_interrupted_delta_is_not_continued_by_a_full_sync(church: Church) -> None:
    church.sync()
    church.simulator.faults([{"kind": "403", "times": 1}])
    with pytest.raises(Forbidden):
        church.sync(mode="delta")
    assert church.sync(mode="full").epoch == "turn-3"
    assert church.sync(mode="delta").epoch == "turn-2"


def test_the_same_person_in_two_churches_is_two_rows(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    church.sync()
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "hope")
    hope = replace(church, org_id="hope")
    hope.sync(epoch="monday")
    assert church.differences() == hope.differences() == []
    assert {one.key for one in church.runs()} == {
        "sync-entity:grace:people.Person:turn-1",
        "sync-entity:hope:people.Person:monday",
    }


def test_the_flow_run_in_the_ledger_is_the_one_that_did_it(church: Church) -> None:
    church.sync(epoch="monday")
    (run,) = church.runs()
    shown = read_flow_run(UUID(run.flow_run_id))
    assert shown.parameters["epoch"] == "monday"
    assert shown.state_name == "Completed"
