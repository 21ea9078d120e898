"""Prefect learns that a script was killed, whoever continues its sync; what is over stays what it is."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running

import tasks.stopping
from flows.sync_entity import sync_entity
from tasks.recovery.sweep import Recovered
from tasks.stopping import mark_crashed
from tests.church import PEOPLE, Church, read_flow_run
from tests.crash.sync_process import SyncProcess
from tests.orchestration.recovery.recovering import sweep
from tests.stack import wait_until


def killed(church: Church, folder: Path) -> UUID:
    """A sync from a script, killed in its first page; its flow run."""
    with church.silence(), SyncProcess(church.environment(), folder, org_id="grace", entity=PEOPLE) as process:
        wait_until(lambda: bool(church.runs()), "it holds its run")
        process.kill()
    return UUID(church.runs()[0].flow_run_id)


def pass_a_minute(church: Church) -> None:
    """For signs of life."""
    church.sql("UPDATE sync.flow_runs SET alive_until = alive_until - interval '1 min'")


def test_a_script_that_was_killed_is_crashed_in_prefect_whoever_continues_it(
    deployed: Church, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_ENTITY_DEPLOYMENT", "sync-entity/nowhere")
    flow_run = killed(deployed, tmp_path)
    deployed.sql("UPDATE sync.runs SET state = 'failed'")  # nobody continues it
    assert sweep() == Recovered(), "it was alive a moment ago"
    assert read_flow_run(flow_run).state_name == "Running"
    pass_a_minute(deployed)

    assert sweep().flow_runs_crashed == 1

    state = read_flow_run(flow_run).state
    assert state is not None
    assert (state.name, state.message) == ("Crashed", "its process fell silent")
    assert deployed.sql("SELECT 1 FROM sync.flow_runs") == []


def test_whoever_continues_a_killed_script_says_so_in_prefect(deployed: Church, tmp_path: Path) -> None:
    flow_run = killed(deployed, tmp_path)

    deployed.sync()

    assert read_flow_run(flow_run).state_name == "Crashed"


def test_what_is_over_stays_what_it_is(deployed: Church) -> None:
    deployed.sync()
    (run,) = deployed.runs()
    pass_a_minute(deployed)

    assert sweep().flow_runs_crashed == 0

    assert read_flow_run(run.flow_run_id).state_name == "Completed"
    assert deployed.sql("SELECT 1 FROM sync.flow_runs") == []


def test_a_flow_run_that_ends_between_the_look_and_the_word_is_not_crashed(
    deployed: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is loaded: much happens between two requests."""

    async def race() -> UUID:
        async with get_client() as client:
            run = await client.create_flow_run(sync_entity, parameters={}, state=Running())
            read = client.read_flow_run

            async def read_and_end(flow_run_id: UUID) -> FlowRun:
                seen = await read(flow_run_id)
                await client.set_flow_run_state(flow_run_id, Completed())
                return seen

            monkeypatch.setattr(client, "read_flow_run", read_and_end)
            monkeypatch.setattr(tasks.stopping, "get_client", lambda: client)
            await mark_crashed([str(run.id)], "it fell silent")
            return run.id

    assert read_flow_run(asyncio.run(race())).state_name == "Completed"
