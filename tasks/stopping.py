"""Why a flow run ends: a person stopped it, or its process has to go; and telling Prefect that one is dead."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

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
    if run.deployment_id is None:  # a script, unless it slept, was taken for dead, and others do its work
        return run.state is None or not run.state.is_crashed()
    return run.state is not None and run.state.type in (StateType.CANCELLING, StateType.CANCELLED)


async def mark_crashed(flow_run_ids: Sequence[str], why: str, *, unless_begun_within: float = 0.0) -> list[str]:
    """Let the UI tell the truth about runs whose process is gone. Those that are over, or wait for a worker, stay so.

    Prefect's server decides, in the transaction that knows the state: a run that ends meanwhile stays what it is. One
    that a person was cancelling is cancelled. Those that began less than `unless_begun_within` seconds ago are left
    alone, too. The answer is which ones Prefect could be asked about.
    """
    if not flow_run_ids:
        return []
    asked = []
    async with get_client() as client:
        for flow_run_id in flow_run_ids:
            try:
                run = await client.read_flow_run(UUID(flow_run_id))
                if run.state is not None and not _is_young(run.state, unless_begun_within):
                    await _mark(client, run.id, run.state, why)
                asked.append(flow_run_id)
            except (httpx.HTTPError, ObjectNotFound, PrefectHTTPStatusError, ValueError) as error:
                sync_logger().warning("flow run %s was not marked as crashed: %s", flow_run_id, error)
    return asked


def _is_young(state: State[Any], seconds: float) -> bool:
    return state.is_running() and (datetime.now(UTC) - state.timestamp).total_seconds() < seconds


async def _mark(client: PrefectClient, flow_run_id: UUID, state: State[Any], why: str) -> None:
    if state.is_final() or state.is_scheduled() or state.is_paused():
        return
    dead: State[Any] = Cancelled(message=why) if state.is_cancelling() else Crashed(message=why)
    answer = await client.set_flow_run_state(flow_run_id, dead)
    if answer.status is not SetStateStatus.ACCEPT:
        sync_logger().info("flow run %s was over before it could be marked as crashed", flow_run_id)
