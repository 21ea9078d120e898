"""The schedule of all churches on a real server: spread, behind what a person starts, and never piling up."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Pending

from deployments.app import main
from deployments.current.prefect_work import read_prefect_work
from deployments.provisioning.names import QUEUES, WORK_POOL
from deployments.provisioning.provision import save_credentials
from embedded.services import PREFECT_DATABASE
from flows.sync_organizations import sync_organizations
from tasks.churches.starting import share_of
from tasks.deployment_runs import Turn, queue_of, start_organization
from tests.acceptance.warm_workers import Pool, warm_worker
from tests.fleet import Fleet
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.usefixtures("restored_signals")

HOUR = 3600
CHURCHES = [f"spread-{number}" for number in range(12)]


@pytest.fixture
def scheduled(fleet: Fleet) -> Iterator[Fleet]:
    """Twelve churches that schedules sync, and no worker."""
    fleet.keep_workers(0)
    asyncio.run(_save(fleet, scheduled=True))
    yield fleet
    asyncio.run(_save(fleet, scheduled=False))
    asyncio.run(_forget_runs())


async def _save(fleet: Fleet, *, scheduled: bool) -> None:
    for org_id in CHURCHES:
        world = fleet.simulator
        await save_credentials(
            org_id, application_id=world.app_id, secret=world.secret, base_url=world.base_url, scheduled=scheduled
        )


async def _waiting() -> list[FlowRun]:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    async with get_client() as client:
        found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), limit=200)
    return [one for one in found if one.parameters.get("org_id") in CHURCHES]


async def _forget_runs() -> None:
    async with get_client() as client:
        for run in await _waiting():
            await client.delete_flow_run(run.id)


def test_each_church_starts_at_its_own_time_and_one_that_still_waits_is_not_started_again(scheduled: Fleet) -> None:
    began = datetime.now(UTC)
    started = sync_organizations(mode="delta", include=["people.Person"], spread_seconds=HOUR)
    assert sorted(started) == sorted(CHURCHES)
    runs = asyncio.run(_waiting())
    starts = {one.parameters["org_id"]: one.expected_start_time for one in runs}
    for org_id, start in starts.items():
        assert start is not None
        late = start - (began + timedelta(seconds=share_of(org_id) * HOUR))
        assert timedelta() <= late < timedelta(minutes=1), org_id
    assert started == sorted(CHURCHES, key=share_of), "the next ones first"
    assert {one.work_queue_name for one in runs} == {"deltas"}
    assert sync_organizations(mode="delta", include=["people.Person"], spread_seconds=HOUR) == []
    assert len(sync_organizations(mode="lists", include=["people.Person"])) == len(CHURCHES), "that is something else"
    assert {one.work_queue_name for one in asyncio.run(_waiting())} == {"deltas", "background"}


def test_a_church_whose_run_was_claimed_by_a_worker_that_died_before_it_began_is_started_again(
    scheduled: Fleet,
) -> None:
    """Prefect offers such a run to no other worker, and its automations begin with the run."""
    sync_organizations(mode="rest", include=["people.Person"])
    claimed, waits_for_its_container, *_ = asyncio.run(_waiting())

    async def claim(*runs: FlowRun) -> None:
        async with get_client() as client:
            for run in runs:
                await client.set_flow_run_state(run.id, Pending())

    asyncio.run(claim(claimed, waits_for_its_container))
    earlier = f"interval '11 minutes' WHERE flow_run_id = '{claimed.id}' AND type = 'PENDING'"
    scheduled.stack.postgres.psql(PREFECT_DATABASE, f"UPDATE flow_run_state SET timestamp = timestamp - {earlier}")
    assert sync_organizations(mode="rest", include=["people.Person"]) == [claimed.parameters["org_id"]]

    async def states() -> list[str | None]:
        async with get_client() as client:
            found = [await client.read_flow_run(one.id) for one in (claimed, waits_for_its_container)]
            await client.set_flow_run_state(waits_for_its_container.id, Cancelled())
            return [one.state_name for one in found]

    assert asyncio.run(states()) == ["Crashed", "Pending"]


def test_one_run_at_a_time_starts_the_churches(scheduled: Fleet) -> None:
    async def at_once() -> list[list[str]]:
        return list(await asyncio.gather(*(sync_organizations(include=["people.Person"]) for _ in range(4))))

    assert sorted(len(one) for one in asyncio.run(at_once())) == [0, 0, 0, len(CHURCHES)]
    assert len(asyncio.run(_waiting())) == len(CHURCHES)


def test_what_waits_for_a_place_longer_than_it_should_is_counted_and_no_night(scheduled: Fleet) -> None:
    now = datetime.now(UTC)
    first, second, *_ = CHURCHES

    async def start(org_id: str, minutes: float, mode: str) -> None:
        turn = Turn(at=now - timedelta(minutes=minutes), queue=queue_of(mode))
        await start_organization(org_id, turn=turn, mode=mode)

    before = asyncio.run(read_prefect_work())
    for org_id, minutes, mode in ((first, 20, "delta"), (second, 3, "delta"), (first, 40, "rest")):
        asyncio.run(start(org_id, minutes, mode))
    work = asyncio.run(read_prefect_work())
    assert work.late == before.late + 1
    assert work.late_since is not None
    assert abs(work.late_since - (now - timedelta(minutes=20))) < timedelta(seconds=1)


def test_deploy_makes_the_queues_in_their_order_and_leaves_what_a_person_has_set(fleet: Fleet) -> None:
    async def change() -> None:
        async with get_client() as client:
            queue = await client.read_work_queue_by_name("background", work_pool_name=WORK_POOL)
            await client.update_work_queue(queue.id, concurrency_limit=7)

    async def queues() -> list[tuple[str, int | None]]:
        async with get_client() as client:
            found = await client.read_work_queues(work_pool_name=WORK_POOL)
        ours = [one for one in found if one.name in QUEUES]
        return [(one.name, one.concurrency_limit) for one in sorted(ours, key=lambda one: one.priority or 0)]

    asyncio.run(change())
    assert main(["deploy"]) == 0
    assert asyncio.run(queues()) == [("default", None), ("deltas", None), ("background", 7), ("children", None)]


def test_long_runs_take_no_more_than_their_share_and_what_waits_begins_when_one_ends(
    stack: Stack, own_pool: Pool, tmp_path: Path
) -> None:
    """Though the worker looks for work every ten minutes: one whose queue has all its places is not idle."""
    deployment = own_pool.deploy("waiting")
    own_pool.client.create_work_queue("slow", work_pool_name=own_pool.name)

    def start(name: str, queue: str) -> None:
        own_pool.start(deployment, parameters={"folder": str(tmp_path), "name": name}, work_queue_name=queue)

    def begun() -> set[str]:
        return {one.name.removesuffix(" began") for one in tmp_path.glob("* began")}

    for number in range(6):
        start(f"slow {number}", "slow")
    rarely = {"PREFECT_WORKER_QUERY_SECONDS": "600"}
    with warm_worker(stack, own_pool.name, "--limit", "4", PCO_WORKER_SHARES="slow=0.5", **rarely):
        wait_until(lambda: len(begun()) == 2, "two of them began", seconds=60)
        start("person", "default")
        (tmp_path / f"{min(begun())} may end").touch()
        wait_until(lambda: len(begun()) == 4, "the next one and a person's began when one ended", seconds=30)
        assert "person" in begun()


def test_runs_whose_turn_is_last_get_their_places_though_others_come_and_go(
    stack: Stack, own_pool: Pool, tmp_path: Path
) -> None:
    """Prefect names the first by priority; those beyond their share must not hide the last."""
    deployment, client = own_pool.deploy("recording"), own_pool.client
    for priority, queue in enumerate(("busy", "late"), start=1):
        client.create_work_queue(queue, work_pool_name=own_pool.name, priority=priority)

    def start(queue: str) -> FlowRun:
        parameters = {"folder": str(tmp_path), "name": queue, "seconds": 0}
        return own_pool.start(deployment, parameters=parameters, work_queue_name=queue)

    def begun() -> list[str]:
        lines = (tmp_path / "journal").read_text().splitlines() if (tmp_path / "journal").exists() else []
        return [line for line in lines if line.startswith("began")]

    busy = [start("busy") for _ in range(40)]
    with warm_worker(stack, own_pool.name, "--limit", "4", PCO_WORKER_SHARES="busy=0.5"):
        wait_until(lambda: len(begun()) >= 6, "the worker is warm", seconds=60)
        late = start("late")
        before = len(begun())
        for run in (late, *busy):
            own_pool.wait_for(run, "Completed")
    assert begun().index("began late") - before < 15
