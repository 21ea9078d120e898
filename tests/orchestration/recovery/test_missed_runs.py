"""After thirty days without a worker, the first scheduled run that begins stands for all that were missed."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_async
from prefect.states import Scheduled

from embedded.services import PREFECT_DATABASE
from tasks.recovery import missed_runs
from tasks.recovery.missed_runs import drop_missed_runs
from tests.church import Church
from tests.stack import Stack

MISSED = 24
PER_PAGE, PER_REQUEST = 10, 4
"""Less than Prefect tells with one answer, or removes with one request."""


@flow(name="scheduled-for-a-test")
async def scheduled(mode: str = "delta") -> int:
    return await drop_missed_runs()


def test_scheduled_runs_that_no_worker_took_do_not_all_run(
    church: Church, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_runs, "PER_PAGE", PER_PAGE)
    monkeypatch.setattr(missed_runs, "PER_REQUEST", PER_REQUEST)

    async def main() -> tuple[int, Counter[str], int]:
        async with get_client() as client:
            deployment = await client.create_deployment(
                flow_id=await client.create_flow(scheduled), name=f"missed-{uuid4().hex[:8]}"
            )

            async def make(mode: str, minutes: float) -> FlowRun:
                at: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(minutes=minutes))
                return await client.create_flow_run_from_deployment(deployment, parameters={"mode": mode}, state=at)

            nightly = [await make("rest", -60 * 24 * days) for days in range(1, 4)]
            by_hand = await make("delta", -3)
            missed = [await make("delta", -15 * number) for number in range(1, MISSED + 1)]
            to_come = await make("delta", 15)
            _as_by_schedule(stack, [*nightly, *missed, to_come])
            own = await client.read_flow_run(missed[0].id)
            dropped: Any = await run_flow_async(scheduled, flow_run=own, parameters=own.parameters)
            again: Any = await run_flow_async(scheduled, flow_run=by_hand, parameters=by_hand.parameters)
            left = await _of(client, deployment)
        assert to_come.id in left
        assert by_hand.id in left
        return dropped, Counter(str(one.parameters["mode"]) for one in left.values()), again

    dropped, left, again = asyncio.run(main())
    assert dropped == MISSED - 1
    assert left == {"rest": 3, "delta": 3}, "its own, the one that a person started, and the next one"
    assert again == 0, "what a person starts stands for nothing else"


async def _of(client: Any, deployment: UUID) -> dict[UUID, FlowRun]:
    found = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    return {one.id: one for one in await client.read_flow_runs(flow_run_filter=found, limit=200)}


def _as_by_schedule(stack: Stack, runs: list[FlowRun]) -> None:
    ids = ", ".join(f"'{one.id}'" for one in runs)
    stack.postgres.psql(PREFECT_DATABASE, f"UPDATE flow_run SET auto_scheduled = true WHERE id IN ({ids})")
