"""Work that a flow run was started for: the flow run, and the run of the ledger that it takes, or joins."""

import time
from typing import Final

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database
from pco_store.ledger.openings import sync_key
from pco_store.ledger.results import LedgerRun, find_by_flow_run, find_by_id, find_by_key, find_newest
from tasks.reports.counted import counted

ASK_PREFECT_SECONDS: Final = 1.0
PATIENCE_FOR_A_WORKER: Final = 10.0
"""Seconds after which we ask what the workers do meanwhile."""
GOES_ON: Final = ("running", "awaiting")
"""The states of a run in the ledger that is not over."""


class FollowedFlowRun:
    """A flow run, which Prefect is asked for once a second."""

    def __init__(self, client: PrefectClient, flow_run: FlowRun) -> None:
        self.flow_run = flow_run
        self._client = client
        self._ask_again = 0.0
        self._waits_for = "waiting for a worker"

    @property
    def is_over(self) -> bool:
        """Whether Prefect says so."""
        return self.flow_run.state is not None and self.flow_run.state.is_final()

    @property
    def is_running(self) -> bool:
        """Whether a worker has begun it."""
        return self.flow_run.state is not None and self.flow_run.state.is_running()

    async def look(self, seconds: float) -> None:
        """Ask how it is; after `seconds` without a worker, what the workers do."""
        if self.is_over or time.monotonic() < self._ask_again:
            return
        self.flow_run = await self._client.read_flow_run(self.flow_run.id)
        self._ask_again = time.monotonic() + ASK_PREFECT_SECONDS
        if not (self.is_over or self.is_running) and seconds > PATIENCE_FOR_A_WORKER:
            self._waits_for = await self._why_it_waits()

    @property
    def told(self) -> str:
        """What it does, in words."""
        state = self.flow_run.state
        if self.is_over and state is not None:
            return (state.name or state.type.value).lower()
        return "starting" if self.is_running else self._waits_for

    async def _why_it_waits(self) -> str:
        pool = self.flow_run.work_pool_name
        if pool is None:
            return "waiting for a worker"
        workers = await self._client.read_workers_for_work_pool(pool)
        if not any(one.status is WorkerStatus.ONLINE for one in workers):
            return "no worker is online, `pco-sync worker` starts one"
        begun = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
        busy = await self._client.count_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=begun)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
        return f"waiting, the workers are busy with {counted(busy, 'run')}" if busy else "waiting for a worker"


class Followed:
    """Both. `run` is the one of the ledger once the flow run has taken or joined it; until then `others` may be at it.

    What the flow run has taken is followed to its end by the ledger alone, also if another flow run continues it.
    """

    def __init__(
        self,
        database: Database,
        flow_run: FollowedFlowRun,
        *,
        org_id: str,
        entity: str,
        scope: str,
        mode: str,
        epoch: str | None,
    ) -> None:
        self.database = database
        self.flow_run = flow_run
        self.org_id, self.entity, self.scope, self.mode, self.epoch = org_id, entity, scope, mode, epoch
        self.run: LedgerRun | None = None
        self.others: LedgerRun | None = None

    async def look(self, seconds: float) -> bool:
        """Bring it up to date; whether it is over. Then there is no `run` if the flow run has taken or joined none."""
        await self.flow_run.look(seconds)
        async with self.database.transaction() as connection:
            if self.run is not None:
                self.run = await find_by_id(connection, self.run.run_id)
            else:
                self.run = await self._taken_or_joined(connection)
        return self.flow_run.is_over if self.run is None else self.run.state not in GOES_ON

    async def _taken_or_joined(self, connection: AsyncConnection) -> LedgerRun | None:
        own = await find_by_flow_run(
            connection,
            org_id=self.org_id,
            entity=self.entity,
            scope=self.scope,
            flow_run_id=str(self.flow_run.flow_run.id),
        )
        if own is not None:
            return own
        if self.epoch is not None:
            found = await find_by_key(connection, sync_key(self.org_id, self.entity, self.epoch, self.scope))
        else:
            found = await find_newest(
                connection, org_id=self.org_id, entity=self.entity, scope=self.scope, mode=self.mode
            )
        goes_on = found is not None and found.state in GOES_ON
        self.others = found if goes_on else None
        state = self.flow_run.flow_run.state
        if state is None or not (state.is_completed() or state.is_crashed()):
            return None
        return found if goes_on or state.is_completed() else None  # else it is an earlier turn
