"""The worker type `warm`: BaseWorker's polling, with runs that are executed in this process."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar
from uuid import UUID

import anyio.abc
import httpx
from prefect.client.schemas.objects import FlowRun, WorkQueue
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.logging.loggers import patch_print
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS
from prefect.types._datetime import now
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from pco_worker.cancelling import stop_what_is_to_stop
from pco_worker.draining import drain
from pco_worker.ending import ended_by_signals
from pco_worker.heartbeats import Heartbeats
from pco_worker.patience import is_away
from pco_worker.residents import find_resident
from pco_worker.runs.running import Running
from pco_worker.settings import WarmWorkerSettings
from pco_worker.shares import Bound, Shares, are_half_free

T = TypeVar("T")

LONGEST_WAIT_FOR_ROOM = 0.5
"""Seconds. A worker that has work looks for more at least this often, if something has ended."""
SPARE = 5
"""Runs that are asked for beyond the smallest share that has room: whether others wait shows only behind these."""
QUEUES_KNOWN_SECONDS = 30.0
"""How long the pool's work queues are taken as known, where they have shares."""


class WarmWorkerResult(BaseWorkerResult):
    """How a run ended; only Prefect's base class asks for it."""


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, WarmWorkerResult]):
    """Runs the flows of trusted deployments in its own process."""

    type: str = "warm"
    _display_name = "Warm"
    _description = (
        "Run flows in the worker's own long-lived process. Nothing is started for a run: made for very many small ones."
    )

    def __init__(self, work_pool_name: str, **options: Any) -> None:
        """As `BaseWorker`. `prefetch_seconds` is not used: there is nothing to be started ahead of time."""
        self._warm_settings = WarmWorkerSettings()
        options["limit"] = options.get("limit") or self._warm_settings.limit
        options["prefetch_seconds"] = 0
        super().__init__(work_pool_name, **options)
        self._running = Running(
            deployment_cache_seconds=self._warm_settings.deployment_cache_seconds,
            logger=self._logger,
        )
        self._shares = Shares.parse(self._warm_settings.shares, limit=int(options["limit"]))
        self._queues: tuple[float, dict[UUID, WorkQueue]] = (-QUEUES_KNOWN_SECONDS, {})
        self._queue_of_run: dict[UUID, str] = {}
        self._passed_over: frozenset[str] | None = None
        self._reached: tuple[Bound, ...] = ()
        self._ended = asyncio.Event()
        self._room = asyncio.Event()
        self._runs_once = False
        self._is_api_away = False
        self._services = AsyncExitStack()
        self._tell: Callable[[str], None] = self._logger.info

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """A template without variables, and closed: Prefect refuses a deployment that asks for what we cannot give."""
        return {
            "job_configuration": {"env": {}},  # Prefect does not take an empty one
            "variables": {"type": "object", "properties": {}, "additionalProperties": False},
        }

    async def start(
        self, run_once: bool = False, with_healthcheck: bool = False, printer: Callable[..., None] = print
    ) -> None:
        """As `BaseWorker`; returns after the drain."""
        self._runs_once = run_once
        self._tell = printer
        with ended_by_signals(printer):
            await super().start(run_once=run_once, with_healthcheck=with_healthcheck, printer=printer)

    async def setup(self) -> None:
        """Prepare the worker, the thread of the flows, and what watches the runs."""
        await super().setup()
        # Prefect's engine patches `print` per run and puts back what it found, which with runs that overlap may be the
        # patch of another run. Patched here once, it is the same before, between and after them.
        self._services.enter_context(patch_print())
        await self._running.start()
        self._services.push_async_callback(self._running.stop)
        for name in filter(None, self._warm_settings.residents.split(",")):
            self._running.stay(name, find_resident(name))
        gc.freeze()  # what is imported by now stays: the collector need not look at it again and again
        for service in (self._watch_for_stops, self._keep_beating):
            task = asyncio.create_task(service())
            self._services.push_async_callback(_end, task)

    async def teardown(self, *exc_info: Any) -> None:
        """Drain, then clean up as `BaseWorker`."""
        try:
            await drain(
                self._running,
                seconds=self._warm_settings.drain_seconds,
                cleanup_seconds=self._warm_settings.cleanup_seconds,
                tell=self._tell,
            )
        finally:
            await self._services.aclose()
            await super().teardown(*exc_info)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WarmWorkerResult:
        """Not what a warm worker does; Prefect calls it for flows that are submitted to a worker object."""
        raise NotImplementedError("A warm worker runs deployments that it polls; flows cannot be submitted to it")

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take work as long as there is any; an API that does not answer is waited out."""
        submitted: list[FlowRun] = []
        while True:
            known = set(self._submitting_flow_run_ids)
            self._ended.clear()
            self._room.clear()
            found = await self._patiently(super().get_and_submit_flow_runs()) or []
            self._reached = self._shares.reached(self._taken())
            new = [one for one in found if one.id not in known]
            submitted += new
            if self._runs_once or not (new or self._reached):
                return submitted
            if self._passed_over is None:
                await self._wait_for_room(has_found=bool(new))
            while self._has_unclaimed:  # noqa: ASYNC110 - the claims are made in another thread
                await asyncio.sleep(0.01)

    async def _sync_and_initialize(self) -> None:
        if self.is_setup:
            await self._patiently(super()._sync_and_initialize())
        else:
            await super()._sync_and_initialize()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """No more than there is room for: the base class fetches 200 each time, over and over.

        With shares there may be less room for those that come than for all, so few are asked for. Prefect answers by
        the priorities of the queues. Where an answer that is full, or cut by the pool's own limit, may have hidden runs
        that there is room for, the next look follows at once, and leaves out the queues that were beyond their shares:
        or the others would have to wait until no such run waits.
        """
        passed_over, self._passed_over = self._passed_over or frozenset(), None
        if self._is_full:
            return []
        most = min(int(self.limiter.available_tokens), 200)
        try:
            apart, names = self._shares.tell_queues_apart, sorted(self._work_queues)
            if apart:
                names, room = await self._queues_with_room(passed_over)
                most = min(most, room + SPARE)
                if not room:
                    return []
            answer = await self.client.request(
                "POST",
                "/work_pools/{name}/get_scheduled_flow_runs",
                path_params={"name": self._work_pool_name},
                json={
                    "work_queue_names": names,
                    "scheduled_before": now("UTC").isoformat(),
                    "limit": most,
                },
            )
        except ObjectNotFound:  # the pool is gone, and the next heartbeat makes it again or warns; or one of its queues
            self._forget_queues()
            return []
        self._note_presence()
        found = [WorkerFlowRunResponse.model_validate(one) for one in answer.json()]
        if not apart:
            return found
        chosen, beyond = self._within_shares(found)
        passed_over |= beyond
        pool = self._work_pool
        may_be_cut = bool(beyond) and pool is not None and pool.concurrency_limit is not None
        if (len(found) >= most or may_be_cut) and self._may_hide(found, passed_over):
            self._passed_over = passed_over
        return chosen

    def _forget_queues(self) -> None:
        self._queues = (-QUEUES_KNOWN_SECONDS, self._queues[1])

    async def _queues_with_room(self, passed_over: frozenset[str]) -> tuple[list[str], int]:
        """The names of the work queues to look into, and the smallest room that one of them has.

        No names are all queues; there is no room if each has its share. Raises httpx's errors.
        """
        read_at, queues = self._queues
        if time.monotonic() - read_at > QUEUES_KNOWN_SECONDS:
            read = await self.client.read_work_queues(work_pool_name=self._work_pool_name)
            queues = {one.id: one for one in read}
            self._queues = (time.monotonic(), queues)
        taken = self._taken()
        wanted = self._work_queues or {one.name for one in queues.values()}
        rooms = {one: self._shares.room(one, taken) for one in wanted - passed_over}
        free = {one: room for one, room in rooms.items() if room}
        names = self._work_queues if len(free) == len(wanted) else free  # all: also those that are made meanwhile
        return sorted(names), min(free.values(), default=0)

    def _within_shares(self, found: list[WorkerFlowRunResponse]) -> tuple[list[WorkerFlowRunResponse], frozenset[str]]:
        """As many of each queue as may be taken, in Prefect's order; and the queues of which there are more."""
        taken, chosen, beyond = self._taken(), [], set()
        for one in found:
            if one.flow_run.id in self._submitting_flow_run_ids:
                continue
            known = self._queues[1].get(one.work_queue_id)
            queue = "" if known is None else known.name
            if not queue:
                self._forget_queues()
            if not self._shares.room(queue, taken):
                beyond.add(queue)
                continue
            taken[queue] += 1
            self._queue_of_run[one.flow_run.id] = queue
            chosen.append(one)
        return chosen, frozenset(beyond)

    def _may_hide(self, found: list[WorkerFlowRunResponse], besides: frozenset[str]) -> bool:
        """Whether a full answer may have left out a run of another queue: one that comes no sooner than its last."""
        queues = self._queues[1]
        shown = [queues.get(one.work_queue_id) for one in found]
        last = max((one.priority for one in shown if one is not None), default=0)
        others = [one for one in queues.values() if one.name not in besides]
        return None in shown or any(
            one.priority >= last for one in others if not self._work_queues or one.name in self._work_queues
        )

    def _taken(self) -> Counter[str]:
        """How many runs of each queue are held; without shares nobody knows the queue, and it counts as nameless."""
        held = self._submitting_flow_run_ids
        self._queue_of_run = {run: queue for run, queue in self._queue_of_run.items() if run in held}
        return Counter(self._queue_of_run.get(run, "") for run in held)

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Execute the run. The base class would read deployment and flow first, and report three states."""
        try:
            await self._running.execute(flow_run)
        except Exception:
            self._logger.exception("Flow run %s was lost sight of", flow_run.id)
        finally:
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)
            self._ended.set()
            if are_half_free(self._reached, self._taken()):
                self._room.set()

    @property
    def _is_full(self) -> bool:
        return self.limiter.available_tokens < 1

    async def _wait_for_room(self, *, has_found: bool) -> None:
        """Until half of what was full is free, or the time for another look has come.

        Where nothing was found, none is due before a run has ended, but for the worker's usual one.
        """
        looked_at = time.monotonic()
        if not has_found:
            await _within(PREFECT_WORKER_QUERY_SECONDS.value(), self._ended)
        if not are_half_free(self._reached, self._taken()):
            await _within(looked_at + LONGEST_WAIT_FOR_ROOM - time.monotonic(), self._room)

    @property
    def _has_unclaimed(self) -> bool:
        """A look before all are claimed would find the limits of queues and pools as they were."""
        claimed = {one.flow_run.id for one in self._running.active() if one.is_claimed}
        return not self._submitting_flow_run_ids <= claimed

    async def _watch_for_stops(self) -> None:
        while True:
            await asyncio.sleep(self._warm_settings.cancel_poll_seconds)
            try:
                await self._patiently(stop_what_is_to_stop(self.client, self._running))
            except Exception as error:  # noqa: BLE001 - the next one may be answered, and the runs must be heard of
                self._logger.warning("Prefect did not say which runs are to stop: %s", error)

    async def _keep_beating(self) -> None:
        heartbeats = Heartbeats()
        while True:
            heartbeats.beat(self._running.active())
            await asyncio.sleep(1)

    async def _patiently(self, request: Coroutine[Any, Any, T]) -> T | None:
        """What the request returns, or nothing while the API is away. Other refusals of the API are raised."""
        try:
            return await request
        except httpx.HTTPError as error:
            if not is_away(error):
                raise
            self._note_absence(error)
            return None

    def _note_presence(self) -> None:
        if self._is_api_away:
            self._is_api_away = False
            self._logger.info("The Prefect API answers again")

    def _note_absence(self, error: httpx.HTTPError) -> None:
        if not self._is_api_away:
            self._is_api_away = True
            self._logger.warning("The Prefect API does not answer, trying on: %s: %s", type(error).__name__, error)


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event, so long at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), max(seconds, 0.0))


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
