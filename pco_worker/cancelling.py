"""Finds out which of this process's runs are to stop: one request for all of them, every few seconds."""

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType

from pco_worker.runs.active_run import ActiveRun, StopReason
from pco_worker.runs.running import Running

STOPPING = (StateType.CANCELLING, StateType.CANCELLED, StateType.CRASHED, StateType.PAUSED)


async def stop_what_is_to_stop(client: PrefectClient, running: Running) -> None:
    """Interrupt the runs that Prefect wants cancelled, suspended, or believes to be over. Raises httpx's errors."""
    watched = {one.flow_run.id: one for one in running.active() if one.stop_reason is None}
    if not watched:
        return
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            id=FlowRunFilterId(any_=list(watched)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(STOPPING))),
        ),
        limit=len(watched),
    )
    for flow_run in found:
        if flow_run.state is not None:
            _tell(running, watched[flow_run.id], flow_run.state)


def _tell(running: Running, active: ActiveRun, state: State[Any]) -> None:
    if state.is_cancelling():
        running.stop_run(active, StopReason.CANCELLED)
    elif state.is_final():
        running.stop_run(active, StopReason.DISOWNED)
    elif state.name == "Suspended":
        active.suspend(state)
