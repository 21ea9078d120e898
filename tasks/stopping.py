"""Why a flow run ends: a person stopped it, or its process has to go; and telling Prefect that one is dead."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from tasks.logs import sync_logger

PATIENCE_SECONDS: Final = 5.0


async def is_stopped_by_person() -> bool:
    """Whether somebody cancelled the flow run we are in; False when Prefect cannot be asked."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return True  # no flow run: whoever interrupts a script is a person
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), get_client() as client:
            run = await client.read_flow_run(context.flow_run.id)
            while run.parent_task_run_id is not None:  # as a part of another flow it is stopped with that one
                parent = await client.read_task_run(run.parent_task_run_id)
                if parent.flow_run_id is None:
                    break
                run = await client.read_flow_run(parent.flow_run_id)
    except (httpx.HTTPError, ObjectNotFound, PrefectHTTPStatusError, TimeoutError, RuntimeError):
        return False
    if run.deployment_id is None:
        return True
    return run.state is not None and run.state.type in (StateType.CANCELLING, StateType.CANCELLED)


async def mark_crashed(flow_run_ids: Sequence[str], why: str) -> None:
    """Let the UI tell the truth about runs whose process is gone; those that are over stay as they are."""
    if not flow_run_ids:
        return
    async with get_client() as client:
        for flow_run_id in flow_run_ids:
            try:
                run = await client.read_flow_run(UUID(flow_run_id))
                if run.state is not None and not run.state.is_final():
                    await client.set_flow_run_state(run.id, Crashed(message=why), force=True)
            except (httpx.HTTPError, ObjectNotFound, PrefectHTTPStatusError, ValueError) as error:
                sync_logger().warning("flow run %s was not marked as crashed: %s", flow_run_id, error)
