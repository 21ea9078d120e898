"""Abandoned runs in the ledger, a sweep of the recovery, and what Prefect has of it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State

from pco_store.ledger.openings import sync_key
from tasks.lifespan import opened_resources
from tasks.recovery.restarting import MOST_RESTARTS
from tasks.recovery.sweep import Recovered, recover
from tasks.settings import read_settings
from tests.church import PEOPLE, Church

DEPLOYMENT = "recovery"
"""Of flows without a work pool: their runs wait until the test says what became of them."""


def sweep() -> Recovered:
    """One sweep of the recovery."""

    async def run() -> Recovered:
        async with opened_resources(read_settings()) as resources:
            return await recover(resources)

    return asyncio.run(run())


def abandon(church: Church, epoch: str = "e", *, epoch_of: str | None = None, **columns: Any) -> str:
    """A run whose lease ran out; its key. The tests share a server, so no two of them have an epoch of one name.

    `epoch_of`: the key of the run that it shares its epoch with.
    """
    epoch = f"{epoch}-{uuid4().hex[:12]}" if epoch_of is None else str(row_of(church, epoch_of).epoch)
    row = {
        "org_id": church.org_id,
        "entity": PEOPLE,
        "scope": "",
        "epoch": epoch,
        "flow_run_id": str(uuid4()),
        "plan": None,
        "fan_out": None,
        "restarts": 0,
        "mode": "full",
        **columns,
    }
    row["key"] = sync_key(church.org_id, row["entity"], epoch, row["scope"])
    church.sql(
        "INSERT INTO sync.runs (org_id, entity, scope, epoch, key, turn, state, mode, fence, owner, lease_until, "
        "flow_run_id, page_size, plan, fan_out, restarts) SELECT :org_id, :entity, :scope, :epoch, :key, "
        "coalesce(max(turn), 0) + 1, 'running', :mode, 1, 'a dead process', now() - interval '1 s', :flow_run_id, "
        "100, CAST(:plan AS jsonb), CAST(:fan_out AS jsonb), :restarts FROM sync.runs "
        "WHERE (org_id, entity, scope) = (:org_id, :entity, :scope)",
        **row,
    )
    return str(row["key"])


def runs_of(key: str) -> list[FlowRun]:
    """The flow runs that were started under a key."""
    keys = [key, *(f"{key}#{attempt}" for attempt in range(2, MOST_RESTARTS + 3))]

    async def read() -> list[FlowRun]:
        async with get_client() as client:
            found = FlowRunFilterIdempotencyKey(any_=keys)
            return await client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=found))

    return sorted(asyncio.run(read()), key=lambda run: (len(run.idempotency_key or ""), run.idempotency_key))


def let(flow_run_id: UUID, state: State[Any]) -> None:
    """Something became of a flow run."""

    async def write() -> None:
        async with get_client() as client:
            await client.set_flow_run_state(flow_run_id, state)

    asyncio.run(write())


def be_due(church: Church) -> None:
    """The waits are over."""
    church.sql("UPDATE sync.runs SET not_before = now() - interval '1 s' WHERE not_before IS NOT NULL")


def row_of(church: Church, key: str) -> Any:
    """The ledger's row, with the wait that it was given."""
    (row,) = church.sql(
        "SELECT *, extract(epoch FROM not_before - restarted_at) AS wait FROM sync.runs WHERE key = :key", key=key
    )
    return row
