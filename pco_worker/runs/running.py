"""The life of one run in this process: claim it, find its code, run it, and see to it that it ends in a true state."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import anyio
import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.exceptions import (
    Abort,
    ObjectNotFound,
    ParameterBindError,
    ParameterTypeError,
    Pause,
    SignatureMismatchError,
)
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger
from prefect.states import AwaitingRetry, Cancelled, Crashed, Failed, Pending

from pco_worker.patience import until_told
from pco_worker.residents import keep_alive
from pco_worker.runs.active_run import ActiveRun, StopReason
from pco_worker.runs.deployments_known import KnownDeployments
from pco_worker.runs.engines import DRAINED_MESSAGE, run_async_flow, run_sync_flow
from pco_worker.runs.flow_code import FlowCode, FlowCodeError, check_job_variables
from pco_worker.runs.flow_results import settle_results
from pco_worker.runs.flow_thread import FlowThread

RESIDENT_SECONDS: Final = 5.0
"""How long residents may take to clean up."""

REFUSAL_SECONDS: Final = 0.5
"""How long a run that could not be claimed keeps its place: Prefect offers it again at once."""

WorkerLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Running:
    """All runs of this process. Its public methods are called by the worker's loop."""

    def __init__(self, *, deployment_cache_seconds: float, logger: WorkerLogger) -> None:
        self._thread = FlowThread()
        self._code = FlowCode()
        self._deployments = KnownDeployments(deployment_cache_seconds)
        self._active: dict[UUID, ActiveRun] = {}
        self._logger = logger
        self._residents: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the thread of the flows."""
        await self._thread.start()

    def stay(self, name: str, resident: Callable[[], Awaitable[None]]) -> None:
        """Run a resident in the thread of the flows, until the thread is stopped."""
        self._thread.submit(keep_alive(name, resident), self._residents.append)

    async def stop(self) -> None:
        """End the residents, then the thread of the flows; what still runs is cut off."""
        if self._residents:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.wrap_future(self._thread.submit(self._end_residents())), RESIDENT_SECONDS
                )
        await self._thread.stop()

    def active(self) -> tuple[ActiveRun, ...]:
        """The runs that go on now."""
        return tuple(self._active.values())

    async def execute(self, flow_run: FlowRun) -> None:
        """Claim the run and execute it to its end. Whatever happens in it is told to Prefect and not raised."""
        active = ActiveRun(flow_run=flow_run)
        self._active[flow_run.id] = active

        def began(task: asyncio.Task[None]) -> None:
            active.task = task

        try:
            await asyncio.wrap_future(self._thread.submit(self._execute(active), began))
        finally:
            del self._active[flow_run.id]

    def stop_run(self, active: ActiveRun, reason: StopReason) -> None:
        """Interrupt a run."""
        self._thread.call(lambda: active.stop(reason))

    async def give_back(self, active: ActiveRun, *, seconds: float) -> bool:
        """Report a run that does not end though it was stopped, from the worker's loop; whether Prefect heard it.

        A worker that ends cannot wait for an API that is away; whoever finds the run silent continues it then.
        """
        with anyio.move_on_after(seconds):
            async with get_client() as client:
                return await _report(client, active, AwaitingRetry(message=DRAINED_MESSAGE), is_shielded=False)
        return False

    async def _end_residents(self) -> None:
        for resident in self._residents:
            resident.cancel()
        await asyncio.gather(*self._residents, return_exceptions=True)

    async def _execute(self, active: ActiveRun) -> None:
        client = get_client()
        try:
            if active.stop_reason is None and await self._claim(client, active):
                await self._execute_claimed(client, active)
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of a flow are that flow's own affair
            await _report_broken(client, active, error)
        if active.is_claimed and active.stop_reason is not None and not active.has_concluded:
            await _report_stopped(client, active)

    async def _execute_claimed(self, client: PrefectClient, active: ActiveRun) -> None:
        if active.stop_reason is not None:
            return
        flow = await self._flow(client, active.flow_run)
        state = await _run_flow(flow, active)
        if state.is_cancelling():  # it was cancelled before it began, or did not heed the interruption
            active.stop_reason = StopReason.CANCELLED

    async def _claim(self, client: PrefectClient, active: ActiveRun) -> bool:
        """Whether this worker, and no other, executes the run."""
        run = active.flow_run
        try:
            answer: OrchestrationResult[Any] = await client.set_flow_run_state(run.id, Pending())
        except ObjectNotFound:
            return False
        except httpx.HTTPError as error:
            self._logger.warning("Could not claim flow run %s: %s", run.id, error)
            await asyncio.sleep(REFUSAL_SECONDS)
            return False
        # A repeated request whose first answer was lost is rejected with the state it has made.
        is_ours = answer.status in (SetStateStatus.ACCEPT, SetStateStatus.REJECT)
        if not is_ours or answer.state is None or not answer.state.is_pending():
            self._logger.debug("Flow run %s is not for us: %s", run.id, answer.status)
            return False
        run.state = answer.state
        run.state_type, run.state_name = answer.state.type, answer.state.name
        active.is_claimed = True
        return True

    async def _flow(self, client: PrefectClient, run: FlowRun) -> Flow[..., Any]:
        if run.deployment_id is None:
            raise FlowCodeError("The run belongs to no deployment; a warm worker runs deployments only.")
        check_job_variables(run.name, run.job_variables)
        deployment = await self._deployments.read(client, run.deployment_id)
        known = self._code.loaded(deployment)
        if known is not None:
            return known
        flow = await asyncio.to_thread(self._code.load, deployment)
        await settle_results(client, flow)
        return flow


async def _run_flow(flow: Flow[..., Any], active: ActiveRun) -> State[Any]:
    if flow.isasync:
        return await run_async_flow(flow, active)
    return await _run_in_thread(flow, active)


async def _run_in_thread(flow: Flow[..., Any], active: ActiveRun) -> State[Any]:
    """Run a sync flow in a thread of its own: not of a pool, whose threads the process would wait for at its end."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[State[Any]] = loop.create_future()

    def tell(state: State[Any] | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            assert state is not None
            ended.set_result(state)

    def run() -> None:
        state, error = None, None
        try:
            active.enter_thread(threading.get_ident())
            try:
                state = run_sync_flow(flow, active)
            finally:
                active.leave_thread()
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the run is awaited
            error = raised
        loop.call_soon_threadsafe(tell, state, error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=f"flow-{active.flow_run.name}", daemon=True).start()
    return await ended


async def _report_broken(client: PrefectClient, active: ActiveRun, error: BaseException) -> None:
    """The run did not return a state: say why, unless its engine did or it was stopped."""
    logger = flow_run_logger(active.flow_run)
    if active.has_concluded or active.stop_reason is not None:
        return
    if isinstance(error, (Abort, Pause)):
        logger.info("The run ends here: %s", error)
    elif isinstance(error, ObjectNotFound):
        logger.info("The run or its deployment was deleted")
    elif isinstance(error, FlowCodeError):
        logger.error("%s", error, exc_info=error.__cause__)
        await _report(client, active, Crashed(message=str(error)))
    elif isinstance(error, (ParameterBindError, ParameterTypeError, SignatureMismatchError)):
        logger.error("The parameters do not fit the flow: %s", error)
        await _report(client, active, Failed(message=f"The parameters do not fit the flow: {error}"))
    else:
        logger.error("The run broke off", exc_info=error)
        await _report(client, active, Crashed(message=f"The run broke off: {type(error).__name__}: {error}"))


async def _report_stopped(client: PrefectClient, active: ActiveRun) -> None:
    if active.stop_reason is StopReason.CANCELLED:
        await _report(client, active, Cancelled(message="Flow run was cancelled."))
    elif active.stop_reason is StopReason.DRAINED:
        await _report(client, active, AwaitingRetry(message=DRAINED_MESSAGE))


async def _report(client: PrefectClient, active: ActiveRun, state: State[Any], *, is_shielded: bool = True) -> bool:
    """Set a state that the engine could not set itself; whether Prefect heard it."""
    with anyio.CancelScope(shield=is_shielded):
        try:
            await until_told(lambda: client.set_flow_run_state(active.flow_run.id, state, force=state.is_cancelled()))
        except ObjectNotFound:
            return True
        except httpx.HTTPError as error:
            flow_run_logger(active.flow_run).error("Could not report the state %s: %s", state.name, error)
            return False
    return True
