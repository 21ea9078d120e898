"""Start a sync as a deployment run, at most once per key."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Scheduled

from pco_store.database import Database
from pco_store.errors import PlanDiffers
from pco_store.ledger.openings import FAN_OUT_SCOPE, ORGANIZATION, WANTED, ConflictPolicy, sync_key
from pco_store.ledger.plans import compared, decisions_of
from pco_store.ledger.results import find_by_key
from pco_store.ledger.runs import FanOutPlan, RunHandle
from pco_walks.window import Mode
from tasks.deletions.from_a_list import ManyDeletions
from tasks.fan_out.submitting import find_deployment
from tasks.flow_run import church_tags
from tasks.run_names import run_name
from tasks.settings import SYNC_CHILDREN, SYNC_ENTITY, SYNC_ORGANIZATION, read_settings

DELTAS: Final = "deltas"
BACKGROUND: Final = "background"
CHILDREN: Final = "children"
"""The work queues of what no person waits for: scheduled deltas, then nights and all other long runs, then the children
of fan-outs. What a person starts is in Prefect's queue `default`, and comes first."""


def queue_of(mode: str) -> str:
    """The queue of a run that nobody waits for."""
    return DELTAS if mode == "delta" else BACKGROUND


@dataclass(frozen=True, kw_only=True)
class Turn:
    """When a run is to start, and in which queue of the work pool. Left out: now, in the deployment's own."""

    at: datetime | None = None
    queue: str | None = None


NOW: Final = Turn()


@dataclass(frozen=True, kw_only=True)
class Started:
    """The flow run that does the work. `is_new` is false if it was there already."""

    flow_run: FlowRun
    is_new: bool


async def start_sync(
    org_id: str,
    entity: str,
    *,
    deployment: str = SYNC_ENTITY,
    epoch: str | None = None,
    on_conflict: ConflictPolicy = "join",
    mode: Mode = "full",
    many_deletions: ManyDeletions = "stop",
    is_abandoned: bool = False,
    turn: Turn = NOW,
) -> Started:
    """Ask Prefect for a run of `sync_entity` on the work pool and return at once.

    With an epoch, the sync's key is the run's idempotency key: however often it is asked for, there is one run until
    that has ended and the sync is not complete by the ledger; then the next one continues it, or begins it if the
    ledger has never heard of it. Without an epoch the run itself decides, by the ledger, what is to be done.
    `is_abandoned`: it is known not to be complete.

    Raises `NotDeployedError`, `StoreUnavailable`, and `PlanDiffers` if that run was asked for with parameters that give
    another result.
    """
    parameters = {
        "org_id": org_id,
        "entity": entity,
        "mode": mode,
        "on_conflict": on_conflict,
        "many_deletions": many_deletions,
    }
    key = None if epoch is None else sync_key(org_id, entity, epoch)
    return await _start(deployment, parameters, epoch, key, is_abandoned=is_abandoned, turn=turn)


async def start_fan_out(
    org_id: str,
    entity: str,
    *,
    deployment: str = SYNC_CHILDREN,
    epoch: str | None = None,
    on_conflict: ConflictPolicy = "join",
    is_abandoned: bool = False,
    turn: Turn = NOW,
    **more: Any,
) -> Started:
    """The same for `sync_children`; `more` are its other parameters."""
    parameters = {"org_id": org_id, "entity": entity, "on_conflict": on_conflict, **more}
    key = None if epoch is None else sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
    return await _start(deployment, parameters, epoch, key, is_abandoned=is_abandoned, turn=turn)


async def continue_fan_out(root: RunHandle, *, deployment: str, turn: Turn = NOW) -> Started:
    """The same for a fan-out that nobody works on, as it was begun."""
    plan = root.fan_out
    assert plan is not None, "only a fan-out has children"
    return await start_fan_out(
        root.org_id,
        root.entity,
        deployment=deployment,
        epoch=root.epoch,
        is_abandoned=True,
        turn=turn,
        **parameters_of(plan, root.mode),
    )


def parameters_of(plan: FanOutPlan, mode: str) -> dict[str, Any]:
    """How `sync_children` was told to spread, beside what it spreads."""
    told = {**asdict(plan), "below": list(plan.below), "mode": WANTED if plan.wanted else mode}
    del told["wanted"]
    return told


async def start_organization(
    org_id: str,
    *,
    deployment: str = SYNC_ORGANIZATION,
    epoch: str | None = None,
    on_conflict: ConflictPolicy = "join",
    is_abandoned: bool = False,
    turn: Turn = NOW,
    **more: Any,
) -> Started:
    """The same for `sync_organization`; `more` are its other parameters."""
    parameters = {"org_id": org_id, "on_conflict": on_conflict, **more}
    key = None if epoch is None else sync_key(org_id, ORGANIZATION, epoch)
    return await _start(deployment, parameters, epoch, key, is_abandoned=is_abandoned, turn=turn)


async def start_deployment(deployment: str, parameters: Mapping[str, Any]) -> FlowRun:
    """Ask Prefect for a run of any deployment. Raises `NotDeployedError`."""
    async with get_client() as client:
        found = await find_deployment(client, deployment)
        return await _create(client, found, deployment, parameters)


async def _create(
    client: PrefectClient,
    found: DeploymentResponse,
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    key: str | None = None,
    turn: Turn = NOW,
) -> FlowRun:
    name = run_name(deployment.partition("/")[0], parameters)
    org_id, entity = parameters.get("org_id"), parameters.get("entity", ORGANIZATION)
    return await client.create_flow_run_from_deployment(
        found.id,
        parameters=dict(parameters),
        name=name,
        tags=sorted(church_tags(org_id, entity)) if org_id and entity else None,
        idempotency_key=key,
        state=Scheduled(scheduled_time=turn.at),
        work_queue_name=turn.queue if found.work_pool_name else None,
    )


async def _start(
    deployment: str,
    parameters: Mapping[str, Any],
    epoch: str | None,
    key: str | None,
    *,
    is_abandoned: bool,
    turn: Turn,
) -> Started:
    async with get_client() as client:
        found = await find_deployment(client, deployment)
        if key is None:
            run = await _create(client, found, deployment, parameters, turn=turn)
            return Started(flow_run=run, is_new=True)
        wanted = {**parameters, "epoch": epoch}
        return await _once(client, found, deployment, wanted, key, is_abandoned=is_abandoned, turn=turn)


async def _once(
    client: PrefectClient,
    found: DeploymentResponse,
    deployment: str,
    parameters: dict[str, Any],
    key: str,
    *,
    is_abandoned: bool,
    turn: Turn,
) -> Started:
    is_restart = parameters["on_conflict"] == "restart"
    attempt = 1
    while True:
        attempt_key = key if attempt == 1 else f"{key}#{attempt}"
        known = await client.read_flow_runs(flow_run_filter=_with_key(attempt_key), limit=1)
        run = known[0] if known else None
        if run is None:
            run = await _create(client, found, deployment, parameters, key=attempt_key, turn=turn)
            return Started(flow_run=run, is_new=True)
        if _is_over(run):
            is_joined = not (is_abandoned or is_restart) and _has_completed(run) and await _is_complete(key)
        else:
            is_joined = not is_restart or run.parameters.get("on_conflict") == "restart"
        if is_joined:
            if not is_abandoned:
                _refuse_another_plan(run, parameters, key)
            return Started(flow_run=run, is_new=False)
        attempt += 1


def _refuse_another_plan(run: FlowRun, parameters: Mapping[str, Any], key: str) -> None:
    begun, wanted = (decisions_of(one.get("mode", "full"), one, None) for one in (run.parameters, parameters))
    if run.parameters.get("below") and parameters.get("below"):  # left out it is the shortest way, which the flow finds
        begun["below"], wanted["below"] = run.parameters["below"], parameters["below"]
    if difference := compared(begun, wanted, is_list="entity" in parameters):
        raise PlanDiffers(key, difference)


def _with_key(key: str) -> FlowRunFilter:
    return FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _has_completed(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_completed()


async def _is_complete(key: str) -> bool:
    """By the ledger: the flow run may have left work to others, or the ledger be older than what Prefect remembers."""
    async with Database(read_settings().database_url.get_secret_value(), pool_size=1) as database:
        async with database.transaction() as connection:
            found = await find_by_key(connection, key)
    return found is not None and found.state == "completed"
