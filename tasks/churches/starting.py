"""Starts the syncs of all churches, each at its own time of an interval, so that they do not come all at once."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectHTTPStatusError

from tasks.deployment_runs import DELTAS, Turn, queue_of, start_organization
from tasks.fan_out.submitting import deployments_read_once
from tasks.logs import sync_logger
from tasks.recovery.looking import look_at
from tasks.runs.opening import reason_of
from tasks.stopping import mark_crashed

LISTS_UNDER_WAY: Final = 100
"""Of a fan-out that nobody waits for. Planning Center's limit lets one church read no faster with more, and the
children of others need not wait behind a thousand.
"""
CLAIMED_SECONDS: Final = 600.0
"""A container of one's own may have to be fetched before it begins."""
AT_ONCE: Final = 200
FEW: Final = 2
FEW_OF_ALL: Final = 0.02
"""So many churches, and so many more of all, may be unable to begin for reasons of their own: they stop nobody else."""


@dataclass(frozen=True, kw_only=True)
class Starts:
    """The churches whose sync is started, those that keep what they have, and those that Prefect refused."""

    started: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def share_of(org_id: str) -> float:
    """Where in every interval the church's syncs start: from 0 to below 1, always the same, and even over many."""
    return int.from_bytes(hashlib.sha256(org_id.encode()).digest()[:8]) / 2**64


def start_of(org_id: str, *, due: datetime, spread: timedelta, now: datetime) -> datetime:
    """When the church is to start in the interval that began when its schedule was due; now, if that is over.

    A schedule that comes late by intervals counts as that of the interval that goes on now.
    """
    if spread and now > due:
        due += (now - due) // spread * spread
    return max(now, due + share_of(org_id) * spread)


def to_start(org_ids: Sequence[str], waiting: Mapping[str, Sequence[datetime]], *, now: datetime) -> list[str]:
    """The churches that get a start in the interval that begins. `waiting`: for when they have one that did not begin.

    Who is late gets the next start, too: else churches whose time is late in the interval would be started half as
    often as others when the workers cannot keep up. Who has two keeps them; and when more than a few have, nobody gets
    another one in this interval, so that all are late alike.
    """
    behind = {one for one in org_ids if len(waiting.get(one, ())) > 1}
    if len(behind) > FEW + FEW_OF_ALL * len(org_ids):
        return []
    return [one for one in org_ids if one not in behind and all(at <= now for at in waiting.get(one, ()))]


async def start_churches(
    org_ids: list[str], *, deployment: str, due: datetime, spread: timedelta, now: datetime, plan: Mapping[str, Any]
) -> Starts:
    """Ask Prefect for a run of each church, the next ones first. `plan`: the parameters of `sync_organization`.

    A church that has not begun its last one of the same plan keeps that, or of spread deltas two (`to_start`): when
    there are more churches than the workers can serve, they come later, and do not pile up. One that a worker claimed
    and has not begun after `CLAIMED_SECONDS` counts no more: that worker is dead, and Prefect offers it to no other.
    Raises `NotDeployedError`, and what Prefect answers to the question which of them wait.
    """
    starts, queue = Starts(), queue_of(plan["mode"])
    waiting: dict[str, list[datetime]] = {}
    silent: list[str] = []
    async for run in _waiting(deployment):
        if look_at(run, CLAIMED_SECONDS).doing == "silent":
            silent.append(str(run.id))
        elif all(run.parameters.get(name) == plan[name] for name in plan):
            waiting.setdefault(run.parameters.get("org_id", ""), []).append(_time_of(run, now))
    await mark_crashed(silent, "its worker was gone before it began", unless_begun_within=CLAIMED_SECONDS)
    is_spread = queue == DELTAS and bool(spread)
    chosen = set(to_start(org_ids, waiting, now=now) if is_spread else set(org_ids) - waiting.keys())
    times = {one: start_of(one, due=due, spread=spread, now=now) for one in org_ids}
    with deployments_read_once():
        for org_id in sorted(org_ids, key=times.__getitem__):
            if org_id not in chosen:
                starts.waiting.append(org_id)
                continue
            turn = Turn(at=times[org_id], queue=queue)
            try:
                await start_organization(
                    org_id, deployment=deployment, turn=turn, most_under_way=LISTS_UNDER_WAY, **plan
                )
            except (httpx.HTTPError, PrefectHTTPStatusError) as error:  # one church's trouble is not another's
                starts.refused[org_id] = reason_of(error)
                sync_logger().error("%s was not started: %s", org_id, starts.refused[org_id])
            else:
                starts.started.append(org_id)
    return starts


def _time_of(run: FlowRun, now: datetime) -> datetime:
    """When it was to begin; whose time is not told counts as not yet due."""
    at = run.next_scheduled_start_time or run.expected_start_time
    return now + timedelta(seconds=1) if at is None else datetime.fromtimestamp(at.timestamp(), UTC)


async def _waiting(deployment: str) -> AsyncIterator[FlowRun]:
    """The runs that are to begin, or are just taken."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING]))
    name = DeploymentFilter(name=DeploymentFilterName(any_=[deployment.partition("/")[2]]))
    offset = 0
    async with get_client() as client:
        while True:
            runs = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=state), deployment_filter=name, limit=AT_ONCE, offset=offset
            )
            for run in runs:
                yield run
            if len(runs) < AT_ONCE:
                return
            offset += AT_ONCE
