"""`deploy` on a real server: what older versions called otherwise goes, and children wait for what a person starts."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.workers.base import BaseJobConfiguration

from deployments.app import main
from deployments.provisioning.names import DEPLOYMENTS, FORMER_NAME, TAG, WORK_POOL
from tasks.deployment_runs import start_sync
from tasks.settings import SYNC_CHILD
from tests.acceptance.warm_workers import ROOT
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


async def deployed(ending: str = "") -> dict[str, DeploymentResponse]:
    """Our deployments as Prefect's server has them, by the name of their flow."""
    async with get_client() as client:
        flows = {one.id: one.name for one in await client.read_flows()}
        return {
            flows[one.flow_id]: one
            for one in await client.read_deployments()
            if f"{flows[one.flow_id]}/{one.name.removesuffix(ending)}" in DEPLOYMENTS and one.name.endswith(ending)
        }


def assert_of_no_machine(deployments: dict[str, DeploymentResponse]) -> None:
    """Nothing of it is true on one machine only, or secret."""
    for flow, one in deployments.items():
        told = one.model_dump_json()
        for local in (str(ROOT), str(Path.home()) + "/", socket.gethostname(), sys.prefix, "CANARY"):
            assert local not in told, f"{flow} carries {local}: {told}"
        assert one.pull_steps == [{"pco_worker.installed_code.enter": {}}]
        assert not Path(one.path or "").is_absolute()
        assert one.description
        assert one.enforce_parameter_schema


def test_no_deployment_carries_a_path_of_the_machine_that_deployed_it(fleet: Fleet) -> None:
    found = asyncio.run(deployed())
    assert len(found) == len(DEPLOYMENTS)
    assert_of_no_machine(found)


def default_template(kind: str) -> dict[str, Any]:
    """What a work pool of this type begins with, by the metadata that Prefect's server brings."""
    metadata = files("prefect.server.api.collections_data.views") / "aggregate-worker-metadata.json"
    (found,) = (one[kind] for one in json.loads(metadata.read_text(encoding="utf-8")).values() if kind in one)
    template: dict[str, Any] = found["default_base_job_configuration"]
    return template


def times_of(deployment: DeploymentResponse) -> list[dict[str, Any]]:
    """When it is started; an interval counts from the moment of its deployment."""
    return [one.schedule.model_dump(exclude={"anchor_date"}) for one in deployment.schedules]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_deployments_for_containers_are_the_same_without_a_secret(fleet: Fleet, kind: str) -> None:
    pool, template = f"pco-sync-{kind}", default_template(kind)

    async def prepare() -> None:
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(name=pool, type=kind, base_job_template=template))
        for name in ("pco-sync-database-url", "pco-sync-redis-url", "pco-sync-token-keys"):
            await Secret(value="CANARY").save(name, overwrite=True)

    asyncio.run(prepare())
    try:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file",
             f"deployments/prefect.{kind}.yaml"],
            cwd=ROOT, env={**os.environ, "PCO_SYNC_IMAGE": "registry.example.org/pco-sync:1",
                            "PCO_SYNC_BLOCK": "{{ prefect.blocks.secret."},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        ours, theirs = asyncio.run(deployed()), asyncio.run(deployed(f"-{kind}"))
        assert set(ours) == set(theirs)
        assert_of_no_machine(theirs)
        for flow, one in theirs.items():
            assert one.parameter_openapi_schema == ours[flow].parameter_openapi_schema
            assert one.entrypoint == ours[flow].entrypoint
            assert times_of(one) == times_of(ours[flow])
            assert [each.parameters for each in one.schedules] == [each.parameters for each in ours[flow].schedules]
            assert one.work_pool_name == pool
            assert one.job_variables["image"] == "registry.example.org/pco-sync:1"
            assert set(one.job_variables) <= set(template["variables"]["properties"]), "the pool knows each of them"
            secrets = {name: value for name, value in one.job_variables["env"].items() if "{{" in value}
            assert secrets == {
                "PCO_SYNC_DATABASE_URL": "{{ prefect.blocks.secret.pco-sync-database-url }}",
                "PCO_SYNC_REDIS_URL": "{{ prefect.blocks.secret.pco-sync-redis-url }}",
                "PCO_SYNC_TOKEN_KEYS": "{{ prefect.blocks.secret.pco-sync-token-keys }}",
            }
            at_run_time: Any = asyncio.run(BaseJobConfiguration.from_template_and_values(template, one.job_variables))
            assert [at_run_time.env[name] for name in secrets] == ["CANARY"] * 3
    finally:

        async def clear() -> None:
            async with get_client() as client:
                for one in (await deployed(f"-{kind}")).values():
                    await client.delete_deployment(one.id)
                await client.delete_work_pool(pool)

        asyncio.run(clear())
