"""Whether anybody is there to work, and when the next sync is due: workers and schedules, as Prefect knows them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterWorkQueueName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from deployments.provisioning.declared import declared_deployments
from deployments.provisioning.names import PERSONS, TAG
from tasks.deployment_runs import DELTAS
from tasks.reports.counted import counted

ONLINE: Final = "ONLINE"
PROMPT: Final = timedelta(minutes=5)
"""A delta, or what a person started, that waits longer for a place is late. Nights may wait for hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """A deployment of ours that has schedules: how many of them are switched on, and when it begins next.

    A run that waits for a worker since a time that is past is not the next one.
    """

    deployment: str
    active: int
    schedules: int
    next_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefectWork:
    """The workers that are online, by work pool, and what is scheduled. `troubles`: what keeps syncs from running.

    `late`: deltas, and what people started, that have waited too long for a place, the first of them since
    `late_since`.
    """

    workers: dict[str, int]
    scheduled: tuple[Scheduled, ...]
    late: int = 0
    late_since: datetime | None = None

    @property
    def troubles(self) -> list[str]:
        """In lines."""
        found = [f"no worker is online on the work pool {pool}" for pool, online in self.workers.items() if not online]
        if self.late and self.late_since and not found:
            since = f"{self.late_since:%Y-%m-%d %H:%M} UTC"
            found.append(
                f"the workers cannot keep up: {counted(self.late, 'run')} waited for a place since {since}; start "
                "another worker, or raise its --limit"
            )
        if not self.scheduled:
            return [*found, "nothing is deployed: `make deploy`"]
        return found + [f"all schedules of {one.deployment} are off" for one in self.scheduled if not one.active]


async def read_prefect_work() -> PrefectWork:
    """What the work pools and deployments of prefect.yaml do. Raises Prefect's errors, and `DeclarationError`."""
    async with get_client() as client:
        workers = {pool: await _online(client, pool) for pool in declared_deployments()}
        deployments = await client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        )
        scheduled = [await _scheduled(client, one) for one in deployments if one.schedules]
        late = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            work_queue_name=FlowRunFilterWorkQueueName(any_=[PERSONS, DELTAS]),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC) - PROMPT),
        )
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        count = await client.count_flow_runs(flow_run_filter=late, deployment_filter=ours)
        first = await client.read_flow_runs(
            flow_run_filter=late, deployment_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1
        )
    return PrefectWork(
        workers=workers,
        scheduled=tuple(sorted(scheduled, key=lambda one: one.deployment)),
        late=count,
        late_since=first[0].next_scheduled_start_time if first else None,
    )


async def _online(client: PrefectClient, pool: str) -> int:
    try:
        return sum(one.status == ONLINE for one in await client.read_workers_for_work_pool(pool))
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return 0  # `make deploy` creates the pool


async def _scheduled(client: PrefectClient, deployment: DeploymentResponse) -> Scheduled:
    coming = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(after_=datetime.now(UTC)),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=1,
    )
    return Scheduled(
        deployment=deployment.name,
        active=0 if deployment.paused else sum(one.active for one in deployment.schedules),
        schedules=len(deployment.schedules),
        next_at=coming[0].expected_start_time if coming else None,
    )
