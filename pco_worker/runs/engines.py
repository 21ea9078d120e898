"""Prefect's two flow engines, made fit to run many flows in one process.

Three things differ, each because Prefect's own engine expects to have the process for itself:

- **being stopped.** An interrupted flow is always a crash to Prefect's engine. Here the reason of the stop decides.
- **suspension.** For a deployment run Prefect's engine starts a thread with an event loop and a websocket of its own,
  and blocks the event loop until that is up and again until it has ended (0.2 s at least). Here one poll of the worker
  watches all runs.
- **heartbeats.** One thread per run there, one task for all runs here (`heartbeats.py`); the events are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import AsyncFlowRunEngine, BaseFlowRunEngine, FlowRunEngine
from prefect.flows import Flow
from prefect.states import AwaitingRetry
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

from pco_worker.patience import until_told, until_told_sync
from pco_worker.runs.active_run import ActiveRun, StopReason
from pco_worker.runs.run_client import RunClient

DRAINED_MESSAGE = "The worker was stopped while the run was going on; another worker continues it."


@dataclass
class _WarmEngine(BaseFlowRunEngine[Any, Any]):
    """What both engines have in common."""

    active: ActiveRun | None = None

    @property
    def run(self) -> ActiveRun:
        """What is known here about the run."""
        assert self.active is not None
        return self.active

    @property
    def heartbeat_seconds(self) -> int | None:
        """None: the worker beats for all its runs."""
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Iterator[Any]:
        """Accept a request to suspend, without watching for one."""
        with self._unwatched(), super().setup_flow_run_suspension_request() as request:
            self.run.suspension = request
            yield request

    def remember(self, state: State[Any]) -> State[Any]:
        """Note whether a state that Prefect has taken is the last one; the state."""
        self.run.is_running = state.is_running()
        self.run.has_concluded = state.is_final()
        return state

    @contextmanager
    def _unwatched(self) -> Iterator[None]:
        """Prefect watches the runs of deployments only: for a moment this is none."""
        flow_run = self.flow_run
        assert flow_run is not None
        deployment_id, flow_run.deployment_id = flow_run.deployment_id, None
        try:
            yield
        finally:
            flow_run.deployment_id = deployment_id


@dataclass
class WarmAsyncEngine(_WarmEngine, AsyncFlowRunEngine[Any, Any]):
    """Runs one async flow in the current task."""

    _run_client: RunClient | None = None

    @property
    def client(self) -> PrefectClient:
        """The shared client, with what is known about the run."""
        if self._run_client is None:
            self._run_client = RunClient(super().client, self.run.flow_run)
        return self._run_client

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """Report a state, though the API be away for some minutes, and remember when it was the last one."""
        tell = super().set_state
        return self.remember(await until_told(lambda: tell(state, force=force)))

    async def handle_crash(self, exc: BaseException) -> None:
        """Report what the reason of the stop asks for; without a stop it is a crash."""
        reason = self.run.stop_reason
        if reason is None:
            await super().handle_crash(exc)
        elif reason is StopReason.CANCELLED:
            await self.handle_cancellation(exc)
        elif reason is StopReason.DRAINED:
            with anyio.CancelScope(shield=True):
                await self.set_state(AwaitingRetry(message=DRAINED_MESSAGE))
                self.run.has_concluded = True


@dataclass
class WarmSyncEngine(_WarmEngine, FlowRunEngine[Any, Any]):
    """Runs one sync flow in the current thread."""

    def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """Report a state, though the API be away for some minutes, and remember when it was the last one."""
        tell = super().set_state
        return self.remember(until_told_sync(lambda: tell(state, force=force)))

    def handle_crash(self, exc: BaseException) -> None:
        """Report what the reason of the stop asks for; without a stop it is a crash."""
        reason = self.run.stop_reason
        if reason is None:
            super().handle_crash(exc)
        elif reason is StopReason.CANCELLED:
            self.handle_cancellation(exc)
        elif reason is StopReason.DRAINED:
            self.set_state(AwaitingRetry(message=DRAINED_MESSAGE))
            self.run.has_concluded = True


def call_parameters(flow: Flow[..., Any], flow_run: FlowRun) -> dict[str, Any]:
    """The run's parameters and the flow's defaults. Raises Prefect's errors if they do not fit the function."""
    args, kwargs = parameters_to_args_kwargs(flow.fn, flow_run.parameters)
    return get_call_parameters(flow.fn, args, kwargs)


async def run_async_flow(flow: Flow[..., Any], active: ActiveRun) -> State[Any]:
    """Run the flow to its end here. Raises whatever ended it before it had a state to return."""
    engine = WarmAsyncEngine(
        flow=flow, flow_run=active.flow_run, parameters=call_parameters(flow, active.flow_run), active=active
    )
    async with engine.start():
        while engine.is_running():
            async with engine.run_context():
                _ = await engine.call_flow_fn()
    return engine.state


def run_sync_flow(flow: Flow[..., Any], active: ActiveRun) -> State[Any]:
    """Run the flow to its end in this thread. Raises whatever ended it before it had a state to return."""
    engine = WarmSyncEngine(
        flow=flow, flow_run=active.flow_run, parameters=call_parameters(flow, active.flow_run), active=active
    )
    with engine.start():
        while engine.is_running():
            with engine.run_context():
                _ = engine.call_flow_fn()
    return engine.state
