"""Brings Prefect up to date about ends that came after their flow run had ended: states and tables are true again."""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.results import Unshown, find_by_id, list_unshown, show_later, was_shown
from pco_store.ledger.run_facts import run_facts
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.reports.events import tell_synced
from tasks.reports.fan_out_summary import fan_out_artifact, summarize_fan_out
from tasks.reports.organization_summary import organization_artifact, organization_state, read_organization
from tasks.reports.outcomes import state_of

AT_ONCE: Final = 100
OPEN_TO_CHANGE: Final = (StateType.COMPLETED, StateType.CANCELLED)
"""A flow run that failed or crashed did so, whatever became of its work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """What Prefect is to show."""

    state: State[Any]
    key: str
    table: list[dict[str, str]]
    description: str


async def show_ends(resources: Resources) -> int:
    """Show what is noted as changed; how many flow runs that were.

    Each on its own: one that Prefect refuses is tried again later and keeps no other back. Raises `StoreUnavailable`.
    """
    async with resources.database.transaction() as connection:
        waiting = await list_unshown(connection, limit=AT_ONCE)
    shown = 0
    if not waiting:
        return shown
    async with get_client() as client:
        for one in waiting:
            try:
                is_shown = await _show(resources, client, one)
            except (httpx.HTTPError, PrefectHTTPStatusError, ValueError) as error:
                sync_logger().warning("the end of run %d is shown later: %s", one.run_id, type(error).__name__)
                is_shown = False
            async with resources.database.transaction() as connection:
                await (was_shown if is_shown else show_later)(connection, one)
            shown += is_shown
    return shown


async def _show(resources: Resources, client: PrefectClient, one: Unshown) -> bool:
    """Whether that is done; not as long as the flow run itself goes on, which may still say how it ends."""
    flow_run = None
    if one.flow_run_id:
        try:
            flow_run = await client.read_flow_run(UUID(one.flow_run_id))
        except ObjectNotFound:
            flow_run = None
    if flow_run is None:
        return True
    if flow_run.state is None or not flow_run.state.is_final():
        return False
    async with resources.database.transaction() as connection:
        wanted = await _wanted(connection, one)
    if wanted is not None:
        await _set_table(client, flow_run.id, wanted)  # first: who waits for the state finds it
        await _set_state(client, flow_run, wanted.state)
    return True


async def _wanted(connection: AsyncConnection, one: Unshown) -> _Shown | None:
    """By the ledger, as the flow run would say it if it ended now."""
    if one.is_church:
        run = await find_by_id(connection, one.run_id)
        if run is None or run.state != "completed":
            return None
        church = await read_organization(connection, run)
        key, table, description = organization_artifact(church)
        return _Shown(state=organization_state(church, church.told), key=key, table=table, description=description)
    facts = await run_facts(connection, one.run_id)
    if facts.state == "closed":
        return None  # what its flow run said was true of the turn that was given up
    summary, end = summarize_fan_out(facts)
    if summary.outcome in ("completed", "incomplete"):
        tell_synced(summary, mode=facts.mode)
    key, table, description = fan_out_artifact(summary)
    return _Shown(state=state_of(end, summary.told, None), key=key, table=table, description=description)


async def _set_state(client: PrefectClient, flow_run: FlowRun, wanted: State[Any]) -> None:
    now = flow_run.state
    if now is None or now.type not in OPEN_TO_CHANGE or wanted.type not in OPEN_TO_CHANGE:
        return
    if (now.type, now.name, now.message) != (wanted.type, wanted.name, wanted.message):
        state: State[Any] = State(type=wanted.type, name=wanted.name, message=wanted.message)
        await client.set_flow_run_state(flow_run.id, state, force=True)


async def _set_table(client: PrefectClient, flow_run_id: UUID, wanted: _Shown) -> None:
    data = json.dumps(wanted.table)
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[wanted.key])
        )
    )
    for artifact in found:
        await client.update_artifact(artifact.id, ArtifactUpdate(data=data, description=wanted.description))
    if not found:
        made = ArtifactCreate(
            key=wanted.key, type="table", data=data, description=wanted.description, flow_run_id=flow_run_id
        )
        await client.create_artifact(made)
