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

AT_ONCE = 100
"""Prefect's server refuses to name more than 200 at a time, unless it is set otherwise."""
STOPPING = (StateType.CANCELLING, StateType.CANCELLED, StateType.CRASHED, StateType.PAUSED)


async def stop_what_is_to_stop(client: PrefectClient, running: Running) -> None:
    """Interrupt the runs that Prefect wants cancelled, suspended, or believes to be over. Raises httpx's errors."""
    watched = {one.flow_run.id: one for one in running.active() if one.stop_reason is None}
    ids = list(watched)
    for start in range(0, len(ids), AT_ONCE):
        found = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                id=FlowRunFilterId(any_=ids[start : start + AT_ONCE]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(STOPPING))),
            ),
            limit=AT_ONCE,
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
