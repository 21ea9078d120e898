"""What is said of a sync in the end, by its state, its summary, its table and its command: the same, and no more."""

import asyncio
import contextvars
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import State
from rich.console import Console

from deployments.app import main
from deployments.operations.fan_outs import cancel
from flows.sync_organization import sync_organization
from tasks.deployment_runs import start_sync
from tests.church import PEOPLE, read_flow_run
from tests.fleet import MEMBERSHIPS, FanOuts, Fleet
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

pytestmark = pytest.mark.usefixtures("restored_signals")
GROUPS = 6


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of six groups that a test may change."""
    with SimulatorProcess(people=20, groups=GROUPS) as simulator:
        yield simulator


def refuse(world: SimulatorProcess, kind: str, *groups: str) -> None:
    """Let the lists of memberships of these groups answer so."""
    world.faults([{"kind": kind, "path": f"/groups/v2/groups/{one}/memberships", "permanent": True} for one in groups])


def groups_of(world: SimulatorProcess) -> list[str]:
    return [str(one["id"]) for one in world.state("groups.Group")]


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a command, and the one document that it prints."""
    capsys.readouterr()
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def table_of(flow_run_id: Any) -> dict[str, str]:
    """What Prefect's table of a fan-out's flow run says."""

    async def read() -> list[Any]:
        async with get_client() as client:
            this = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
            return await client.read_artifacts(artifact_filter=this)

    (table,) = [one for one in asyncio.run(read()) if one.type == "table"]
    return {row["what"]: row["value"] for row in json.loads(str(table.data))}


def wait_until_shown(flow_run_id: Any, name: str) -> None:
    """Wait until Prefect shows this state of a flow run."""
    wait_until(lambda: read_flow_run(flow_run_id).state_name == name, f"Prefect shows {name}", seconds=60)


def kill_child(fan_out: FanOuts, scope: str) -> None:
    """Let a child that fails be out of attempts at once."""
    wait_until(lambda: fan_out.tally()["completed"] == GROUPS - 1, "its neighbours are done", seconds=60)

    def is_dead() -> bool:
        fan_out.church.sql(
            "UPDATE sync.runs SET attempts = greatest(attempts, 4), not_before = NULL WHERE state = 'pending' "
            "AND org_id = :org AND scope = :scope",
            org=fan_out.church.org_id,
            scope=scope,
        )
        return fan_out.tally()["dead"] == 1

    wait_until(is_dead, "the child is dead", seconds=60)
    fan_out.wait_until_complete()


@contextmanager
def cancelled_when(condition: Callable[[], bool], org_id: str) -> Iterator[None]:
    """While the block runs, somebody else cancels the fan-out by command as soon as the condition holds."""

    def cancel_it() -> int:
        wait_until(condition, "it can be cancelled", seconds=60)
        return asyncio.run(cancel(org_id, MEMBERSHIPS, "e", Console(file=io.StringIO()), as_json=False))

    with ThreadPoolExecutor(max_workers=1) as pool:
        cancelling = pool.submit(cancel_it)
        yield
        assert cancelling.result() == 0


def test_a_fan_out_that_is_cancelled_by_command_while_its_parent_waits_is_not_complete(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.keep_workers(0)  # its children wait
    fan_out = fleet.church("halted", world)
    include = ["groups.GroupType", MEMBERSHIPS]

    with cancelled_when(lambda: (root := fan_out.root()) is not None and root.state == "awaiting", "halted"):
        state: State[Any] = sync_organization("halted", epoch="e", include=include, return_state=True)

    summary = asyncio.run(state.aresult())
    assert {one.entity: one.outcome for one in summary.entities} == {
        "groups.GroupType": "completed",
        MEMBERSHIPS: "cancelled",
    }
    assert (state.name, summary.outcome) == ("CompletedIncomplete", "incomplete")
    assert f"cancelled: {MEMBERSHIPS}" in str(state.message)
    wait_until_shown(fan_out.root().flow_run_id, "Cancelled")
    again = sync_organization("halted", epoch="e", include=include, return_state=True)
    assert again.name == "CompletedIncomplete", "joining it says so, too"
    _, listed = command(capsys, "fan-outs", "halted")
    assert [(one["outcome"], one["children"], one["done"]) for one in listed["fan_outs"]] == [("cancelled", GROUPS, 0)]


def test_what_pco_refuses_is_named_with_its_reason_and_gives_the_exit_code_of_incomplete(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    fan_out = fleet.church("refused", world)
    refuse(world, "403", *groups_of(world))
    chosen = ["groups.GroupType", MEMBERSHIPS]

    code, result = command(capsys, "sync", "refused", "--include", *chosen, "--epoch", "e")

    ends = {one["entity"]: one for one in result["entities"]}
    assert (code, result["outcome"], result["exit_code"]) == (3, "incomplete", 3)
    assert (ends["groups.GroupType"]["outcome"], ends[MEMBERSHIPS]["outcome"]) == ("completed", "unreadable")
    assert (ends[MEMBERSHIPS]["rows"], ends[MEMBERSHIPS]["lists"]) == (0, 0), "they are not those of its parents"
    assert f"does not show all {GROUPS} lists to this credential (Forbidden: " in ends[MEMBERSHIPS]["reason"]
    run = fan_out.church.sql("SELECT * FROM sync.runs WHERE org_id = 'refused' AND entity = 'organization'")[0]
    wait_until_shown(run.flow_run_id, "CompletedIncomplete")
    wait_until_shown(fan_out.root().flow_run_id, "CompletedWithUnreadableLists")

    assert main(["sync", "refused", "--include", *chosen, "--epoch", "e"]) == 3
    told = capsys.readouterr().out
    assert f"{MEMBERSHIPS}: unreadable: Planning Center does not show all {GROUPS} lists" in told


def test_a_dead_child_that_nobody_waited_for_is_shown_until_it_is_replayed_and_no_longer(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    fan_out = fleet.church("unwaited", world)
    broken = groups_of(world)[3]
    refuse(world, "400", broken)
    parent = fan_out.start(groups_per_run=GROUPS).flow_run.id
    kill_child(fan_out, broken)

    wait_until_shown(parent, "CompletedWithDeadChildren")
    table = table_of(parent)
    assert {name: table[name] for name in ("done", "dead", "under way", "outcome")} == {
        "done": str(GROUPS - 1),
        "dead": "1",
        "under way": "0",
        "outcome": "incomplete",
    }
    code, again = command(capsys, "sync", "unwaited", MEMBERSHIPS, "--epoch", "e")
    assert (code, again["outcome"], again["dead"]) == (3, "incomplete", 1)
    assert "BadRequest" in again["reason"]

    world.faults([])
    code, replayed = command(capsys, "replay", "unwaited", MEMBERSHIPS, "--epoch", "e")

    assert (code, replayed["outcome"], replayed["done"]) == (0, "completed", GROUPS)
    wait_until_shown(parent, "Completed")
    assert table_of(parent)["dead"] == "0"
    assert fan_out.church.differences(MEMBERSHIPS) == []


def test_a_fan_out_that_failed_or_was_cancelled_is_reported_by_the_turn_that_continues_it(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    fan_out = fleet.church("continued", world)
    start = ("sync", "continued", MEMBERSHIPS, "--epoch", "e", "--groups-per-run", "6")
    world.faults([{"kind": "400", "path": "/groups/v2/groups", "permanent": True}])
    code, failed = command(capsys, *start)
    assert (code, failed["outcome"]) == (1, "failed")
    assert "BadRequest" in failed["reason"]
    code, failed = command(capsys, *start)
    assert (code, failed["outcome"]) == (1, "failed")

    world.faults([])
    world.latency(1500)  # it goes on while a busy machine cancels it
    with cancelled_when(lambda: fan_out.tally()["running"] > 0, "continued"):
        code, stopped = command(capsys, *start)
    assert (code, stopped["outcome"]) == (3, "cancelled")
    assert fan_out.root().state == "cancelled"
    world.latency(0)

    code, replayed = command(capsys, "replay", "continued", MEMBERSHIPS, "--epoch", "e")

    assert (code, replayed["outcome"], replayed["done"]) == (0, "completed", GROUPS)
    assert fan_out.church.differences(MEMBERSHIPS) == []


def test_a_sync_that_another_flow_run_does_is_watched_to_its_end(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    church = fleet.church("joined", world).church

    def runs() -> Sequence[Any]:
        return church.sql("SELECT * FROM sync.runs WHERE org_id = 'joined' AND read_with IS NULL")

    with ExitStack() as silent, ThreadPoolExecutor(max_workers=1) as pool:
        silent.enter_context(church.silence())
        asyncio.run(start_sync("joined", PEOPLE))
        wait_until(lambda: len(runs()) == 1, "the first one runs", seconds=60)

        def let_it_go_on() -> None:
            wait_until(lambda: has_joined("joined"), "the second one has joined it", seconds=60)
            silent.close()

        going_on = pool.submit(contextvars.copy_context().run, let_it_go_on)
        code, result = command(capsys, "sync", "joined", PEOPLE)
        going_on.result()

    assert (code, result["outcome"], result["records"]) == (0, "completed", 20)
    assert [one.turn for one in runs()] == [1]
    ill = str(world.state(PEOPLE)[3]["id"])
    world.faults([{"kind": "wrong-record-type", "record_id": ill, "permanent": True}])
    code, result = command(capsys, "sync", "joined", PEOPLE, "--epoch", "ill")
    assert (code, result["outcome"], result["quarantined"]) == (3, "incomplete", 1)
    world.faults([])
    code, result = command(capsys, "replay-quarantine", "joined")
    assert (code, result["outcome"], result["looked_at"], result["already_newer"]) == (0, "completed", 1, 1)
    code, result = command(capsys, "sync", "joined", PEOPLE, "--epoch", "ill")
    assert (code, result["outcome"], result["quarantined"]) == (0, "completed", 0)


def has_joined(org_id: str) -> bool:
    """Whether a flow run of this church has ended because another one does the work."""

    async def read() -> bool:
        joined = FlowRunFilterState(name=FlowRunFilterStateName(any_=["AlreadyRunning"]))
        async with get_client() as client:
            found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=joined))
        return any(one.parameters.get("org_id") == org_id for one in found)

    return asyncio.run(read())
