"""A whole church as a deployment run: its lists, then what is below parents, spread over the workers of the pool."""

import asyncio
from typing import Any

from prefect.client.schemas.objects import FlowRun

from deployments.operations.plan import make_plan
from deployments.provisioning.names import SYNC_ORGANIZATIONS
from deployments.provisioning.provision import save_credentials
from pco_store.database import Database
from pco_store.ledger.results import find_by_key
from tasks.deployment_runs import start_deployment, start_organization
from tasks.reports.organization_summary import read_organization
from tests.church import read_flow_run
from tests.fleet import GROUPS, FanOuts, Fleet
from tests.stack import wait_until

CHOSEN = ["groups.Group", "groups.GroupType", "groups.Membership", "groups.Tag"]
PAGES_IN_FLIGHT = 16
NIGHT = (
    "SELECT result FROM sync.runs WHERE org_id = :org AND entity = 'organization' AND epoch = 'night' "
    "AND state = 'completed'"
)


def start(church: FanOuts, *include: str) -> FlowRun:
    """Start the sync of the church, with the epoch `e`."""
    started = asyncio.run(start_organization(church.church.org_id, epoch="e", include=list(include)))
    return started.flow_run


def wait_until_completed(church: FanOuts, *, epoch: str | None = None, seconds: float = 90) -> Any:
    """Wait until the church is complete, in this epoch if one is named; its row in the ledger."""

    def row() -> Any:
        found = church.church.sql(
            "SELECT * FROM sync.runs WHERE org_id = :org AND entity = 'organization' "
            "AND (CAST(:epoch AS text) IS NULL OR epoch = :epoch)",
            org=church.church.org_id,
            epoch=epoch,
        )
        return found[0] if found else None

    def is_completed() -> bool:
        run = row()
        return run is not None and run.state == "completed"

    wait_until(is_completed, lambda: f"the church is complete: {row()}", seconds=seconds)
    return row()


def test_a_church_is_complete_when_all_its_lists_and_fan_outs_are(fleet: Fleet) -> None:
    church = fleet.church("whole-church")
    plan = asyncio.run(make_plan("whole-church", "full", CHOSEN, []))
    assert len(fleet.simulator.access_log()) == plan.own_requests
    fleet.simulator.reset_log()
    run = start(church, *CHOSEN)
    wait_until_completed(church)
    wait_until(lambda: bool((state := read_flow_run(run.id).state) and state.is_final()), "the flow run is over")
    state = read_flow_run(run.id).state
    assert state is not None
    assert (state.name, state.message) == ("Completed", state.message)
    assert "6 completed" in str(state.message), "enrollments and locations came with the groups"
    for entity in ("groups.Group", "groups.GroupType", "groups.Membership"):
        assert church.church.differences(entity) == []
    assert {row.epoch for row in church.church.sql("SELECT epoch FROM sync.runs WHERE org_id = 'whole-church'")} == {
        "e"
    }
    announced, sent = plan.requests, len(fleet.simulator.access_log())
    assert abs(announced - sent) <= 0.1 * sent
    again = start(church, *CHOSEN)
    assert again.id == run.id, "the epoch is done"


def test_a_church_whose_worker_is_killed_is_continued_by_another(fleet: Fleet) -> None:
    church = fleet.church("killed-church")
    fleet.simulator.latency(400)
    start(church, "groups.Group", "groups.Membership")
    wait_until(lambda: church.tally()["completed"] >= 1, "the first child is done", seconds=60)
    owner = church.church.sql("SELECT owner FROM sync.runs WHERE org_id = 'killed-church' AND entity = 'organization'")
    pid = int(owner[0].owner.rpartition(":")[2])
    fleet.kill(next(worker for worker in fleet.workers if worker.process.pid == pid))
    fleet.simulator.latency(40)

    run = wait_until_completed(church)

    assert run.fence > 1, "somebody else took over"
    for entity in ("groups.Group", "groups.Membership"):
        assert church.church.differences(entity) == []
    reads = church.church.reads()
    assert reads.total() - len(reads) <= 2 * PAGES_IN_FLIGHT


DELTAS = ["calendar.*", "giving.*"]
LISTS_AT_A_TIME = 8


def test_a_delta_whose_worker_is_killed_is_continued_by_one_flow_run(fleet: Fleet) -> None:
    church = fleet.church("killed-delta")
    asyncio.run(start_organization("killed-delta", epoch="before", mode="delta", include=DELTAS))
    wait_until_completed(church)
    fleet.simulator.latency(1500)
    fleet.simulator.reset_log()

    def lists(state: str) -> list[str]:
        runs = church.church.sql(
            "SELECT entity FROM sync.runs WHERE org_id = 'killed-delta' AND epoch = 'e' AND state = :state "
            "AND entity <> 'organization' AND read_with IS NULL",
            state=state,
        )
        return sorted(run.entity for run in runs)

    asyncio.run(start_organization("killed-delta", epoch="e", mode="delta", include=DELTAS))
    wait_until(lambda: bool(lists("completed")), "the first lists are done")
    assert lists("running"), "the others are not"
    (run,) = church.church.sql("SELECT owner FROM sync.runs WHERE key = 'sync-organization:killed-delta:e'")
    pid = int(run.owner.rpartition(":")[2])
    fleet.kill(next(worker for worker in fleet.workers if worker.process.pid == pid))
    fleet.simulator.latency(40)

    run = wait_until_completed(church, epoch="e")

    assert (run.fence, lists("running")) == (2, [])

    def begun() -> list[FlowRun]:
        return [one for one in church.flow_runs() if one.start_time is not None]

    wait_until(lambda: all(one.state and one.state.is_final() for one in begun()), "Prefect knows how they ended")
    assert sorted(one.state_name or "" for one in begun()) == ["Completed", "Completed", "Crashed"]
    assert {one.name for one in begun()} == {"killed-delta: delta of calendar.*, giving.*"}, (
        "no list has a flow run of its own"
    )
    reads = church.church.reads()
    assert len(reads) == len(lists("completed"))
    assert reads.total() - len(reads) <= LISTS_AT_A_TIME


def test_a_night_keeps_its_budget_with_all_that_it_sends_and_says_what_waits(fleet: Fleet) -> None:
    """Beside pages: owners whose includes are compared, and members who have left, who are asked for by their ids."""
    church, world = fleet.church("nights"), fleet.simulator
    chosen = ["groups.Group", "groups.Membership"]
    org_id, budget = church.church.org_id, 40
    start(church, *chosen)
    wait_until_completed(church)
    church.church.sql("UPDATE sync.lists SET last_read_at = last_read_at - interval '20 days' RETURNING 1")
    left = [{"entity": "groups.Membership", "id": one["id"]} for one in world.state("groups.Membership")[::8]]
    world.churn([{"operation": "delete", **one} for one in left])
    world.reset_log()
    try:
        asyncio.run(start_organization(org_id, epoch="night", mode="rest", include=chosen, budget=budget))
        wait_until(lambda: len(church.church.sql(NIGHT, org=org_id)) == 1, "the night is over", seconds=60)
    finally:
        world.churn([{"operation": "restore", **one} for one in left])

    sent = [one["path"] for one in world.access_log()]
    assert budget * 3 // 4 < len(sent) <= budget
    assert {path.rpartition("/")[2] for path in sent} >= {"groups", "memberships"}
    lists = sum(path.endswith("/memberships") for path in sent)
    assert 0 < lists < GROUPS
    gone = church.church.sql(
        "SELECT 1 FROM groups.membership WHERE org_id = :org AND _deleted_at IS NOT NULL", org=org_id
    )
    assert gone
    (night,) = church.church.sql(NIGHT, org=org_id)
    facts = asyncio.run(_told(church, org_id))
    assert facts == len(sent), "what it says of itself is all that it has sent"
    waiting = night.result["waiting"]
    assert waiting["lists"] >= GROUPS - lists
    assert waiting["never_read"] == 0
    assert waiting["longest_days"] >= 6
    listed_again = "SELECT 1 FROM sync.pages JOIN sync.runs USING (run_id) WHERE org_id = :org AND scope = '*'"
    assert church.church.sql(listed_again, org=org_id) == [], (
        "nor has the full sync listed the groups for their members"
    )


async def _told(church: FanOuts, org_id: str) -> int:
    """The requests that the church's run says its night has sent."""
    store = Database(church.church.database_url, pool_size=1)
    try:
        async with store.transaction() as connection:
            run = await find_by_key(connection, f"sync-organization:{org_id}:night")
            assert run is not None
            return (await read_organization(connection, run)).requests
    finally:
        await store.aclose()


def test_schedules_start_every_church_that_does_not_say_otherwise(fleet: Fleet) -> None:
    church, other = fleet.church("scheduled-church"), fleet.church("unscheduled-church")
    world = fleet.simulator

    def schedule(scheduled: bool) -> None:
        asyncio.run(
            save_credentials(
                church.church.org_id,
                application_id=world.app_id,
                secret=world.secret,
                base_url=world.base_url,
                scheduled=scheduled,
            )
        )

    schedule(True)
    try:
        asyncio.run(start_deployment(SYNC_ORGANIZATIONS, {"mode": "full", "include": ["groups.GroupType"]}))
        run = wait_until_completed(church)
    finally:
        schedule(False)

    assert (run.epoch, run.plan["include"], run.mode) == ("organization-1", ["groups.GroupType"], "full")
    assert church.church.differences("groups.GroupType") == []
    assert other.church.sql("SELECT 1 FROM sync.runs WHERE org_id = 'unscheduled-church'") == []
