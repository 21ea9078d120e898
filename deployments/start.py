"""Start a sync as a deployment run, at most once per key."""

from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from deployments.names import SYNC_ENTITY
from pco_store.openings import ConflictPolicy, sync_key
from tasks.window import Mode

DONE_BY_OTHERS = ("AlreadyRunning",)
"""Names of completed states in which a run left the work to another run, which may have died since."""


class NotDeployedError(Exception):
    """Prefect does not know the deployment."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """The flow run that does the work. `is_new` is false if it was there already."""

    flow_run: FlowRun
    is_new: bool


async def start_sync(
    org_id: str,
    entity: str,
    *,
    epoch: str | None = None,
    on_conflict: ConflictPolicy = "join",
    mode: Mode = "full",
) -> Started:
    """Ask Prefect for a run of `sync_entity` on the work pool and return at once.

    With an epoch, the sync's key is the run's idempotency key: however often it is asked for, there is one run until it
    has ended without having completed; then the next one continues it. Without an epoch the run itself decides, by
    the ledger, what is to be done.

    Raises `NotDeployedError`.
    """
    parameters: dict[str, Any] = {"org_id": org_id, "entity": entity, "mode": mode, "on_conflict": on_conflict}
    if epoch is not None:
        parameters["epoch"] = epoch
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(SYNC_ENTITY)
        except ObjectNotFound:
            raise NotDeployedError(f"Prefect does not know the deployment {SYNC_ENTITY}; run `make deploy`") from None
        if epoch is None:
            run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
            return Started(flow_run=run, is_new=True)
        return await _once(client, deployment.id, parameters, sync_key(org_id, entity, epoch), on_conflict)


async def _once(
    client: PrefectClient, deployment_id: Any, parameters: dict[str, Any], key: str, on_conflict: ConflictPolicy
) -> Started:
    attempt = 1
    while True:
        attempt_key = key if attempt == 1 else f"{key}#{attempt}"
        known = await client.read_flow_runs(flow_run_filter=_with_key(attempt_key), limit=1)
        run = known[0] if known else None
        if run is None:
            run = await client.create_flow_run_from_deployment(
                deployment_id, parameters=parameters, idempotency_key=attempt_key
            )
            return Started(flow_run=run, is_new=True)
        if not _is_over(run) or (_has_done_it(run) and on_conflict != "restart"):
            return Started(flow_run=run, is_new=False)
        attempt += 1


def _with_key(key: str) -> FlowRunFilter:
    return FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _has_done_it(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_completed() and run.state.name not in DONE_BY_OTHERS
