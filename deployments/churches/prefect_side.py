"""What Prefect has of a church: its credentials, schedules with its name in them, flow runs, and for how long."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling
from pydantic import TypeAdapter

from deployments.provisioning.names import TAG
from tasks.deployment_runs import BACKGROUND, DELTAS

AT_ONCE: Final = 200
UNENDED: Final = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
_DURATION: Final = TypeAdapter(timedelta)
VACUUM: Final = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnSchedule:
    """A schedule of a deployment that syncs this church and no other."""

    deployment_id: UUID
    schedule_id: UUID
    active: bool
    parameters: Mapping[str, Any]


async def own_schedules(client: PrefectClient, org_id: str) -> list[OwnSchedule]:
    """The schedules that name the church in their parameters."""
    deployments = await client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    )
    return [
        OwnSchedule(deployment_id=deployment.id, schedule_id=one.id, active=one.active, parameters=one.parameters or {})
        for deployment in deployments
        for one in deployment.schedules
        if (one.parameters or {}).get("org_id") == org_id
    ]


async def switch(client: PrefectClient, one: OwnSchedule, *, active: bool) -> None:
    """Switch it on or off. Prefect's server empties the parameters of a schedule when an update leaves them out."""
    await client.update_deployment_schedule(
        one.deployment_id, one.schedule_id, active=active, parameters=dict(one.parameters)
    )


async def unended_flow_runs(client: PrefectClient, org_id: str) -> list[FlowRun]:
    """The flow runs of the church that are still to end."""
    return [
        run async for run in _flow_runs(client) if run.parameters.get("org_id") == org_id or f"org:{org_id}" in run.tags
    ]


async def cancel_flow_runs(client: PrefectClient, org_id: str) -> int:
    """Cancel those; how many there were."""
    runs = await unended_flow_runs(client, org_id)
    for run in runs:
        try:
            await client.set_flow_run_state(run.id, Cancelling(message=f"{org_id} is being removed"))
        except ObjectNotFound:
            continue
    return len(runs)


async def drop_waiting_starts(client: PrefectClient, org_id: str) -> int:
    """Cancel what a schedule is about to start of the church, and has not begun; how many that were.

    What continues a sync that had begun has a key, and is left alone.
    """
    dropped = [
        run
        for run in await unended_flow_runs(client, org_id)
        if run.work_queue_name in (DELTAS, BACKGROUND)
        and run.idempotency_key is None
        and run.state_type is StateType.SCHEDULED
        and run.run_count == 0
    ]
    for run in dropped:
        with suppress(ObjectNotFound):
            await client.set_flow_run_state(run.id, Cancelling(message=f"{org_id} is paused"))
    return len(dropped)


async def forget_church(org_id: str) -> None:
    """Delete its credentials' block and its own schedules; safe to repeat."""
    async with get_client() as client:
        for one in await own_schedules(client, org_id):
            await client.delete_deployment_schedule(one.deployment_id, one.schedule_id)
        try:
            block = await client.read_block_document_by_name(org_id, "pco-credentials")
            await client.delete_block_document(block.id)
        except ObjectNotFound:
            pass


async def count_flow_runs(client: PrefectClient, org_id: str) -> int:
    """Those that Prefect has of the church, ended ones included."""
    filters = FlowRunFilter(tags=FlowRunFilterTags(any_=[f"org:{org_id}"]))
    return int(await client.count_flow_runs(flow_run_filter=filters))


async def retention(client: PrefectClient) -> str:
    """When Prefect deletes flow runs that are over, in words."""
    try:
        answer = await client._client.get("/admin/settings")
        vacuum = answer.json()["server"]["services"]["db_vacuum"]
        enabled = vacuum["enabled"] or ()
        after = _DURATION.validate_python(vacuum["retention_period"])
    except (httpx.HTTPError, PrefectHTTPStatusError, KeyError, TypeError, ValueError):
        return "as its own retention has it"
    if "flow_runs" not in enabled:
        return f"never: {VACUUM} leaves flow runs out"
    return f"{after.days} days after their end"


async def _flow_runs(client: PrefectClient) -> AsyncIterator[FlowRun]:
    offset = 0
    unended = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNENDED)))
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    while True:
        runs = await client.read_flow_runs(
            flow_run_filter=unended, deployment_filter=ours, limit=AT_ONCE, offset=offset
        )
        for run in runs:
            yield run
        if len(runs) < AT_ONCE:
            return
        offset += AT_ONCE
