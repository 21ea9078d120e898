"""The main job as it runs in production: deployment runs on a work pool, run by a worker."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from deployments.app import main
from tasks.deployment_runs import start_deployment, start_sync
from tasks.settings import SYNC_ENTITY
from tests.church import PEOPLE, Church, read_flow_run
from tests.fleet import Fleet
from tests.simulators import SimulatorProcess
from tests.stack import wait_until


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of ten pages of people."""
    with SimulatorProcess(people=1000, groups=10) as simulator:
        yield simulator


def test_a_deployment_run_a_run_of_the_ui_and_a_script_share_one_ledger(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str], restored_signals: None
) -> None:
    church = fleet.church("entrances", world).church
    started = [asyncio.run(start_sync("entrances", PEOPLE, epoch="monday")) for _ in range(2)]
    assert [one.is_new for one in started] == [True, False]
    assert started[0].flow_run.id == started[1].flow_run.id
    from_ui = _run_of_the_ui({"org_id": "entrances", "entity": "groups.Group"})
    assert main(["sync", "entrances", "people.Campus", "--no-watch"]) == 0
    assert "/runs/flow-run/" in capsys.readouterr().out
    assert _ended(started[0].flow_run).state_name == "Completed"
    assert _ended(from_ui).state_name == "Completed"
    wait_until(lambda: church.differences("people.Campus") == [], "the run of the command line is done", seconds=60)
    assert church.differences(PEOPLE) == church.differences("groups.Group") == []

    again = church.end(epoch="monday")
    assert again.name == "AlreadyCompleted"
    assert str(started[0].flow_run.id) in str(again.message)
    duplicate = _ended(_run_of_the_ui({"org_id": "entrances", "entity": PEOPLE, "epoch": "monday"}))
    assert duplicate.state_name == "AlreadyCompleted"
    assert not asyncio.run(start_sync("entrances", PEOPLE, epoch="monday")).is_new
    assert set(church.reads().values()) == {1}


def test_a_cancelled_run_stops_within_seconds_and_the_next_start_continues_it(
    fleet: Fleet, world: SimulatorProcess
) -> None:
    church = fleet.church("stopped", world).church
    world.latency(2000)
    first = asyncio.run(start_sync("stopped", PEOPLE, epoch="monday")).flow_run
    wait_until(lambda: len(_pages(church)) > 0, "a page is committed", seconds=60)
    _cancel(first)
    wait_until(lambda: _state_name(first) == "Cancelled", "it stopped", seconds=15)
    assert [run.state for run in _runs(church)] == ["cancelled"]
    kept = _pages(church)
    assert 0 < len(kept) < 10
    world.latency(0)
    world.reset_log()
    second = asyncio.run(start_sync("stopped", PEOPLE, epoch="monday"))
    assert second.is_new
    assert _ended(second.flow_run).state_name == "Completed"
    assert not kept & {offset for _, offset in church.reads()}
    assert church.differences() == []
    assert [run.state for run in _runs(church)] == ["completed"]


def _run_of_the_ui(parameters: dict[str, Any]) -> FlowRun:
    """As the UI does it: by the deployment, with the values of its form."""
    return asyncio.run(start_deployment(SYNC_ENTITY, parameters))


def _ended(run: FlowRun) -> FlowRun:
    def is_over() -> bool:
        state = read_flow_run(run.id).state
        return state is not None and state.is_final()

    wait_until(is_over, f"{run.name} ended", seconds=60)
    return read_flow_run(run.id)


def _state_name(run: FlowRun) -> str | None:
    return read_flow_run(run.id).state_name


def _cancel(run: FlowRun) -> None:
    async def cancel() -> None:
        async with get_client() as client:
            await client.set_flow_run_state(run.id, Cancelling())

    asyncio.run(cancel())


def _runs(church: Church) -> Any:
    return church.sql(
        "SELECT * FROM sync.runs WHERE org_id = :org_id AND read_with IS NULL ORDER BY run_id", org_id=church.org_id
    )


def _pages(church: Church) -> set[int]:
    """Offsets of the pages of this church that are committed; the mirror is shared by many."""
    found = church.sql(
        'SELECT pages."offset" FROM sync.pages JOIN sync.runs USING (run_id) WHERE org_id = :org_id',
        org_id=church.org_id,
    )
    return {row[0] for row in found}
