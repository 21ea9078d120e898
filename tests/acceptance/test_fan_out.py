"""Fan-outs from end to end: a Prefect server, warm workers as processes, children as deployment runs."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Cancelling

from deployments.provisioning.provision import save_credentials
from embedded.server_process import inherited_environment
from flows.replay_children import replay_children
from flows.sync_children import sync_children
from pco_store.database import Database
from pco_store.ledger.fan_out.children import list_dead
from tasks.deployment_runs import Started, start_fan_out, start_sync
from tasks.fan_out.submitting import NotDeployedError, check_children_can_run
from tasks.reports.fan_out_summary import FanOutSummary
from tests.acceptance.warm_workers import HERE, ROOT
from tests.church import read_flow_run
from tests.fleet import MEMBERSHIPS, FanOuts, Fleet
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

MEMBERS = 10
"""Of a group, as the simulator invents them."""


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of 12 groups that a test may change."""
    with SimulatorProcess(people=40, groups=12, latency_ms=100) as simulator:
        yield simulator


def groups_of(world: SimulatorProcess) -> list[str]:
    return [str(one["id"]) for one in world.state("groups.Group")]


def members_of(world: SimulatorProcess, group: str) -> list[str]:
    found = [one for one in world.state(MEMBERSHIPS) if one["relationships"]["group"]["data"]["id"] == group]
    return [str(one["id"]) for one in found]


def resize(world: SimulatorProcess, group: str, size: int) -> None:
    """Let a group have so many members."""
    if size > MEMBERS:
        grown = {"operation": "create", "entity": MEMBERSHIPS, "count": size - MEMBERS}
        world.churn([{**grown, "relationships": {"group": group}}])
    else:
        gone = members_of(world, group)[size:]
        world.churn([{"operation": "delete", "entity": MEMBERSHIPS, "id": one} for one in gone])


def test_groups_of_every_size_are_mirrored_and_what_is_gone_or_forbidden_is_told(
    fleet: Fleet, world: SimulatorProcess
) -> None:
    groups = groups_of(world)
    for group, size in zip(groups, (0, 1, 100, 101), strict=False):
        resize(world, group, size)
    gone, forbidden = groups[4], groups[5]
    world.churn([{"operation": "delete", "entity": "groups.Group", "id": gone, "after_request": 1}])
    world.faults([{"kind": "403", "path": f"/groups/v2/groups/{forbidden}/memberships", "permanent": True}])
    fan_out = fleet.church("sizes", world)

    parent = fan_out.start().flow_run
    fan_out.wait_until_complete()

    children = {one.scope: one for one in fan_out.children()}
    assert children.keys() == set(groups)
    assert {scope: one.state for scope, one in children.items() if one.state != "completed"} == {
        gone: "absent",
        forbidden: "forbidden",
    }
    for group in groups:
        found = {str(row["id"]) for row in fan_out.church.rows(MEMBERSHIPS) if row["group_id"] == group}
        assert found == (set() if group in (gone, forbidden) else set(members_of(world, group)))
    pages = fan_out.church.sql('SELECT "offset" FROM sync.pages WHERE run_id = :id', id=children[groups[3]].run_id)
    assert {row.offset for row in pages} == {0, 100}
    state = wait_for_end(parent.id)
    assert state.name in ("Spreading", "CompletedWithUnreadableLists")
    last = max(one.completed_at for one in children.values())
    assert read_flow_run(parent.id).end_time < last, "the parent does not wait"
    keys = {str(one.idempotency_key).partition("~")[0] for one in fan_out.flow_runs()}
    assert {f"sync-children:sizes:{MEMBERSHIPS}:{group}:e" for group in groups} <= keys


def wait_for_end(flow_run_id: Any) -> Any:
    """The final state of a flow run."""
    seen: list[Any] = []

    def is_over() -> bool:
        seen[:] = [read_flow_run(flow_run_id).state]
        return bool(seen[0].is_final())

    wait_until(is_over, "the flow run is over", seconds=60)
    return seen[0]


def test_the_children_of_one_fan_out_are_the_parents_of_the_next(fleet: Fleet, world: SimulatorProcess) -> None:
    fan_out = fleet.church("levels", world)
    world.latency(5)
    events = [str(one["id"]) for one in world.state("groups.Event")]
    world.churn(
        [{"operation": "create", "entity": "groups.Attendance", "relationships": {"event": one}} for one in events[::7]]
    )

    fan_out.start("groups.Attendance", below=["groups.Group", "groups.Event"], groups_per_run=20)
    households: FanOutSummary = sync_children("levels", "people.HouseholdMembership", epoch="e", wait=True)
    fan_out.wait_until_complete("groups.Attendance")

    for entity in ("groups.Group", "groups.Event", "groups.Attendance", "people.Household"):
        assert fan_out.church.differences(entity) == [], entity
    found = Counter((one.entity, one.state) for one in fan_out.children("groups.Attendance"))
    assert found == {("groups.Event", "completed"): 12, ("groups.Attendance", "completed"): len(events)}
    assert fan_out.church.differences("people.HouseholdMembership") == []
    assert (households.outcome, households.pending, households.under_way) == ("completed", 0, 0)
    assert households.done == households.children == len(world.state("people.Household"))
    assert max(fan_out.church.reads().values()) == 1


def test_two_parents_of_the_same_key_at_once_are_one(fleet: Fleet, world: SimulatorProcess) -> None:
    fan_out = fleet.church("twice", world)
    first, second = asyncio.run(start_both("twice"))
    assert first.flow_run.id == second.flow_run.id
    wait_until(lambda: fan_out.root() is not None, "it runs", seconds=60)

    by_hand = sync_children("twice", MEMBERSHIPS, epoch="e", wait=True, return_state=True)

    assert by_hand.name in ("AlreadyRunning", "AlreadyCompleted")
    fan_out.wait_until_complete()
    fan_out.assert_nothing_lost_and_nothing_doubled()


async def start_both(org_id: str) -> list[Started]:
    """Two people who press the button at the same time."""
    return await asyncio.gather(*(start_fan_out(org_id, MEMBERSHIPS, epoch="e", groups_per_run=4) for _ in range(2)))


def test_a_cancelled_parent_stops_its_children_and_is_continued(fleet: Fleet, world: SimulatorProcess) -> None:
    world.latency(1500)
    fan_out = fleet.church("cancelled", world)
    parent = fan_out.start(wait=True, most_under_way=4).flow_run
    fan_out.wait_for_done(2)

    asyncio.run(cancel(parent.id))

    wait_until(lambda: fan_out.root().state == "cancelled", "the fan-out is cancelled", seconds=30)
    wait_until(lambda: not fan_out.tally().keys() & {"running", "submitted"}, "its children have stopped", seconds=30)
    assert wait_for_end(parent.id).is_cancelled()
    stopped = fan_out.tally()
    assert stopped["pending"] > 0
    begun = {one.scope for one in fan_out.children() if one.fence}
    assert len(begun) < 12, "what had not begun does not begin"

    world.latency(20)
    fan_out.start()
    fan_out.wait_until_complete()
    assert fan_out.tally() == {"completed": 12}
    fan_out.assert_nothing_lost_and_nothing_doubled(read_twice=4)


async def cancel(flow_run_id: Any) -> None:
    """What the button in the UI does."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, Cancelling())


def test_a_dead_child_is_listed_and_replayed(fleet: Fleet, world: SimulatorProcess) -> None:
    broken = groups_of(world)[3]
    world.faults([{"kind": "400", "path": f"/groups/v2/groups/{broken}/memberships", "permanent": True}])
    fan_out = fleet.church("dead", world)
    fan_out.start(groups_per_run=12)
    wait_until(lambda: fan_out.tally()["completed"] == 11, "its neighbours are done", seconds=60)
    for _ in range(5):  # its waits are over at once
        fan_out.church.sql(
            "UPDATE sync.runs SET attempts = greatest(attempts, 4), not_before = NULL WHERE state = 'pending' "
            "AND org_id = 'dead' AND scope = :scope",
            scope=broken,
        )
        fan_out.wait_until_complete()

    (dead,) = asyncio.run(dead_children(fan_out))
    assert (dead.scope, dead.attempts) == (broken, 5)
    summary = sync_children("dead", MEMBERSHIPS, epoch="e")
    assert (summary.dead, summary.done) == (1, 11)

    world.faults([])
    assert replay_children("dead", MEMBERSHIPS, "e").revived == 1
    fan_out.wait_until_complete()
    assert fan_out.tally() == {"completed": 12}
    assert fan_out.church.differences(MEMBERSHIPS) == []


async def dead_children(fan_out: FanOuts) -> list[Any]:
    database = Database(fan_out.church.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            return list(await list_dead(connection, fan_out.church.org_id))
    finally:
        await database.aclose()


def test_better_credentials_count_from_the_next_start(fleet: Fleet, world: SimulatorProcess) -> None:
    fleet.keep_workers(1)  # the one that knows the wrong ones
    fan_out = fleet.church("mistyped", world)
    asyncio.run(save_credentials("mistyped", application_id=world.app_id, secret="wrong", base_url=world.base_url))
    refused = wait_for_end(fan_out.start().flow_run.id)
    assert refused.is_failed()
    assert "401" in refused.message

    asyncio.run(save_credentials("mistyped", application_id=world.app_id, secret=world.secret, base_url=world.base_url))
    fan_out.start()
    fan_out.wait_until_complete()
    assert fan_out.tally() == {"completed": 12}


def test_a_deployment_that_does_not_exist_is_told_before_anything_is_done(
    fleet: Fleet, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    fan_out = fleet.church("nowhere", world)
    monkeypatch.setenv("PCO_SYNC_CHILD_DEPLOYMENT", "sync-child/nowhere")

    with pytest.raises(NotDeployedError, match=r"sync-child/nowhere.*make deploy"):
        sync_children("nowhere", MEMBERSHIPS, epoch="e")

    assert fan_out.root() is None
    assert not fan_out.church.sql("SELECT 1 FROM sync.runs WHERE org_id = 'nowhere'")


def test_children_run_on_a_process_pool_too_and_a_pool_without_workers_is_told(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.keep_workers(0)  # they would submit to their own pool
    asyncio.run(deploy_to("processes"))
    monkeypatch.setenv("PCO_SYNC_CHILD_DEPLOYMENT", "sync-child/processes")
    told = asyncio.run(check_children_can_run("sync-child/processes"))
    assert told is not None
    assert "no worker polls the work pool processes" in told
    with SimulatorProcess(people=10, groups=1) as world:
        fan_out = fleet.church("processes", world)
        summary: FanOutSummary = sync_children("processes", MEMBERSHIPS, epoch="e")
        assert (summary.outcome, summary.under_way) == ("spreading", 1)
        subprocess.run(
            [
                *(sys.executable, "-m", "prefect", "worker", "start", "--pool", "processes", "--type", "process"),
                "--run-once",
            ],
            env=inherited_environment(**fleet.environment()),
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=120,
        )
        fan_out.wait_until_complete()
        fan_out.assert_nothing_lost_and_nothing_doubled()
        runs = {one.work_pool_name for one in fan_out.flow_runs() if one.deployment_id is not None}
        assert runs == {"processes"}


async def deploy_to(pool: str) -> None:
    """The children's deployment on a pool of the type process."""
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template={}))
        await client.create_deployment(
            flow_id=await client.create_flow_from_name("sync-child"),
            name=pool,
            entrypoint="flows/sync_child.py:sync_child",
            work_pool_name=pool,
            pull_steps=HERE,
        )


@pytest.mark.nightly
def test_two_workers_share_the_budget_and_a_small_sync_is_not_starved(fleet: Fleet) -> None:
    """PCO's own limit: 100 requests in 20 s."""
    with SimulatorProcess(people=40, groups=125, rate_limit="100/20") as world:
        fan_out = fleet.church("budget", world)
        fan_out.start(groups_per_run=10)
        fan_out.wait_for_done(90)

        asyncio.run(start_sync("budget", "people.Person", epoch="small"))
        wait_until(
            lambda: bool(
                fan_out.church.sql(
                    "SELECT 1 FROM sync.runs WHERE org_id = 'budget' AND entity = 'people.Person' "
                    "AND state = 'completed'"
                )
            ),
            "the small sync is complete",
            seconds=60,
        )
        left = fan_out.tally()
        fan_out.wait_until_complete()

        assert left["completed"] < 125, "it did not wait for the large one"
        assert world.stats()["refused"] == 0
        fan_out.assert_nothing_lost_and_nothing_doubled()


@pytest.mark.nightly
def test_a_group_of_five_thousand_members_is_mirrored_beside_small_ones(fleet: Fleet, world: SimulatorProcess) -> None:
    large = groups_of(world)[0]
    resize(world, large, 5000)
    fan_out = fleet.church("large", world)

    fan_out.start(groups_per_run=4)
    fan_out.wait_until_complete(seconds=300)

    fan_out.assert_nothing_lost_and_nothing_doubled()
    assert sum(row["group_id"] == large for row in fan_out.church.rows(MEMBERSHIPS)) == 5000
