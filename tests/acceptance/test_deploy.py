"""`deploy` on a real server: what older versions called otherwise goes, and children wait for what a person starts."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule

from deployments.app import main
from deployments.provisioning.names import DEPLOYMENTS, FORMER_NAME, TAG, WORK_POOL
from tasks.deployment_runs import start_sync
from tasks.settings import SYNC_CHILD
from tests.church import PEOPLE
from tests.fleet import Fleet

pytestmark = pytest.mark.usefixtures("restored_signals")

HOURLY = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)), active=True)


async def deployment(client: PrefectClient, flow: str, *tags: str) -> UUID:
    """As an older version of ours, or somebody else, has made it: with a schedule."""
    flow_id = await client.create_flow_from_name(flow)
    return await client.create_deployment(
        flow_id, FORMER_NAME, work_pool_name=WORK_POOL, tags=list(tags), schedules=[HOURLY], entrypoint="x.py:x"
    )


async def names() -> set[str]:
    """The deployments of Prefect's server."""
    async with get_client() as client:
        flows = {one.id: one.name for one in await client.read_flows()}
        return {f"{flows[one.flow_id]}/{one.name}" for one in await client.read_deployments()}


def test_deployments_of_our_former_names_go_with_their_schedules_and_no_others(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    async def make() -> None:
        async with get_client() as client:
            await deployment(client, "sync-entity", TAG)
            await deployment(client, "recover-syncs", TAG, "more")
            await deployment(client, "verify-entity", "of somebody else")
            await deployment(client, "somebodys-flow", TAG)

    asyncio.run(make())
    assert main(["deploy"]) == 0
    told = capsys.readouterr().out
    removed = {f"sync-entity/{FORMER_NAME}", f"recover-syncs/{FORMER_NAME}"}
    assert all(f"removed {name}, which has another name now" in told for name in removed)
    kept = {f"verify-entity/{FORMER_NAME}", f"somebodys-flow/{FORMER_NAME}"}
    left = asyncio.run(names())
    assert {*DEPLOYMENTS, *kept} <= left
    assert not removed & left

    async def clear() -> None:
        async with get_client() as client:
            for name in kept:
                await client.delete_deployment((await client.read_deployment_by_name(name)).id)

    asyncio.run(clear())


def test_what_a_person_starts_comes_before_the_rest_of_a_fan_out(fleet: Fleet) -> None:
    fleet.keep_workers(0)
    fleet.church("prior")

    async def order() -> list[str]:
        async with get_client() as client:
            child = await client.read_deployment_by_name(SYNC_CHILD)
            parameters = {"org_id": "prior", "entity": "groups.Membership", "epoch": "e", "parents": ["1"]}
            first = await client.create_flow_run_from_deployment(child.id, parameters=parameters)
            second = (await start_sync("prior", PEOPLE)).flow_run
            waiting = await client.get_scheduled_flow_runs_for_work_pool(WORK_POOL)
            ours = [one.flow_run.name for one in waiting if one.flow_run.id in (first.id, second.id)]
            for run in (first, second):
                await client.delete_flow_run(run.id)
            return ours

    assert asyncio.run(order())[0] == "prior: people.Person"
