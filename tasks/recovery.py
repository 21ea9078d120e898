"""Continues what nobody works on any more: syncs, fan-outs, and children whose lease ran out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from pydantic import BaseModel, ConfigDict

from pco_store.abandoned import AbandonedRun, abandoned_runs
from pco_store.alone import alone
from pco_store.fan_out_deletions import unsettled_fan_outs
from pco_store.fan_outs import unfinished_fan_outs
from pco_store.ledger import RunHandle
from pco_store.openings import ORGANIZATION
from pco_store.submissions import SubmittedRun, take_back_submitted, waiting_flow_runs
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently
from tasks.showing import show_ends
from tasks.starting import Started, start_fan_out, start_organization, start_sync
from tasks.stopping import mark_crashed
from tasks.submitting import submit_unanswered, top_up

ASKED_AT_ONCE: Final = 100


class Recovered(BaseModel):
    """What one sweep found and did."""

    model_config = ConfigDict(frozen=True)

    syncs_started: int = 0
    fan_outs_seen: int = 0
    children_submitted: int = 0
    children_taken_back: int = 0


async def recover(resources: Resources) -> Recovered:
    """One sweep; nothing if another one goes on. Raises `StoreUnavailable`, `NotDeployedError`, and httpx's errors.

    The lock is Postgres's, which ends with its holder, or after a while if that only sleeps: Prefect keeps a
    concurrency slot of a dead process for minutes, and it is dead processes that this is about.
    """
    async with alone(resources.database, "recover") as is_alone:
        return await _sweep(resources) if is_alone else Recovered()


async def _sweep(resources: Resources) -> Recovered:
    async with resources.database.transaction() as connection:
        abandoned = await abandoned_runs(connection)
        fan_outs = await unfinished_fan_outs(connection)
    for one in abandoned:
        await _continue(resources, one)
    submitted = taken_back = 0
    for root in fan_outs:
        taken_back += await _take_back_vanished(resources, root)
        submitted += await submit_unanswered(resources, root)
        submitted += await top_up(resources, root)
    for root in await patiently(resources, unsettled_fan_outs):
        await _let_settle(resources, root)
    await show_ends(resources)
    return Recovered(
        syncs_started=len(abandoned),
        fan_outs_seen=len(fan_outs),
        children_submitted=submitted,
        children_taken_back=taken_back,
    )


async def _continue(resources: Resources, abandoned: AbandonedRun) -> None:
    """Start the run again under its key; the flow run that held it is marked as crashed first."""
    run, settings = abandoned.run, resources.settings
    if abandoned.flow_run_id:
        await mark_crashed([abandoned.flow_run_id], "its process fell silent; the sync is continued by another run")
    started: Started
    if run.entity == ORGANIZATION:
        started = await start_organization(
            run.org_id,
            deployment=settings.organization_deployment,
            epoch=run.epoch,
            is_abandoned=True,
            **(run.plan or {}),
        )
    elif run.fan_out is not None:
        started = await start_fan_out(
            run.org_id,
            run.entity,
            deployment=settings.children_deployment,
            epoch=run.epoch,
            below=list(run.fan_out.below),
            groups_per_run=run.fan_out.groups_per_run,
            most_under_way=run.fan_out.most_under_way,
            many_deletions=run.fan_out.many_deletions,
            is_abandoned=True,
        )
    else:
        started = await start_sync(
            run.org_id,
            run.entity,
            deployment=settings.entity_deployment,
            epoch=run.epoch,
            mode="delta" if run.mode == "delta" else "full",
            is_abandoned=True,
        )
    sync_logger().warning("%s had been abandoned; flow run %s continues it", run.key, started.flow_run.id)


async def _let_settle(resources: Resources, root: RunHandle) -> None:
    """A run that joins the complete fan-out finds out what was deleted: it may have to ask for many records."""
    assert root.fan_out is not None, "only a fan-out has children"
    await start_fan_out(
        root.org_id,
        root.entity,
        deployment=resources.settings.children_deployment,
        epoch=root.epoch,
        below=list(root.fan_out.below),
        is_abandoned=True,
    )


async def _take_back_vanished(resources: Resources, root: RunHandle) -> int:
    """Children whose flow run ended or vanished before it began them, or was taken by a worker that has died."""
    silence = resources.settings.start_seconds
    async with resources.database.transaction() as connection:
        waiting = await waiting_flow_runs(
            connection, root.run_id, older_than_seconds=min(silence, resources.settings.lease_seconds)
        )
    if not waiting:
        return 0
    alive, silent = await _look_at(waiting, silence)
    await mark_crashed(sorted(silent), "its worker fell silent before it began; another run does its work")
    gone = [run_id for one in waiting if one.flow_run_id not in alive for run_id in one.run_ids]
    async with resources.database.transaction() as connection:
        return await take_back_submitted(connection, gone)


async def _look_at(waiting: Sequence[SubmittedRun], silence: float) -> tuple[set[str], set[str]]:
    """Which flow runs will still begin, and which were taken for so long that their worker must have died."""
    alive: set[str] = set()
    silent: set[str] = set()
    async with get_client() as client:
        for start in range(0, len(waiting), ASKED_AT_ONCE):
            ids = [UUID(one.flow_run_id) for one in waiting[start : start + ASKED_AT_ONCE]]
            runs = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), limit=ASKED_AT_ONCE
            )
            for run in runs:
                state = run.state
                if state is None or state.is_scheduled() or state.is_paused():
                    alive.add(str(run.id))
                elif not state.is_final():
                    is_silent = (datetime.now(UTC) - state.timestamp).total_seconds() > silence
                    (silent if is_silent else alive).add(str(run.id))
    return alive, silent
