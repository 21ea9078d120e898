"""Scheduled runs that no worker took in time: one that begins stands for all of them, and they do not follow."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from tasks.fan_out.flow_runs import WITHOUT_BULK
from tasks.logs import sync_logger

PER_PAGE: Final = 200
BULK_DELETE: Final[Any] = "/flow_runs/bulk_delete"
"""A path that the client's own list of paths does not know yet."""
PER_REQUEST: Final = 50
"""As many as Prefect removes in one transaction."""


async def drop_missed_runs() -> int:
    """Remove the scheduled runs of our own deployment that should have begun by now and wait still; how many.

    Only those with our parameters, and only if we are a scheduled run ourselves: what a person has started stays. If
    Prefect does not answer, they follow.
    """
    context = FlowRunContext.get()
    own = None if context is None else context.flow_run
    if not isinstance(own, FlowRun) or own.deployment_id is None or not own.auto_scheduled:
        return 0
    dropped = 0
    try:
        async with get_client() as client:
            while missed := await _missed(client, own):
                for start in range(0, len(missed), PER_REQUEST):
                    await _delete(client, missed[start : start + PER_REQUEST])
                dropped += len(missed)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        sync_logger().warning("scheduled runs that nobody took were not dropped: %s", type(error).__name__)
    if dropped:
        sync_logger().warning("%d scheduled runs that no worker took were dropped: this one stands for them", dropped)
    return dropped


async def _missed(client: PrefectClient, own: FlowRun) -> list[UUID]:
    """Of the oldest that wait, a page at a time until one has some with our parameters."""
    offset = 0
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=_waiting(own), sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=PER_PAGE, offset=offset
        )
        found = [one.id for one in page if one.auto_scheduled and one.parameters == own.parameters and one.id != own.id]
        if found or len(page) < PER_PAGE:
            return found
        offset += PER_PAGE


def _waiting(own: FlowRun) -> FlowRunFilter:
    return FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)}),
    )


async def _delete(client: PrefectClient, some: Sequence[UUID]) -> None:
    told = FlowRunFilter(id=FlowRunFilterId(any_=list(some))).model_dump(mode="json", exclude_unset=True)
    try:
        await client.request("POST", BULK_DELETE, json={"flow_runs": told, "limit": PER_REQUEST})
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in WITHOUT_BULK:
            raise
        for one in some:
            try:
                await client.delete_flow_run(one)
            except ObjectNotFound:
                continue
