"""Starts abandoned runs again: each on its own, with a wait that doubles, and with an end.

A start in vain is one after which nothing was committed: Prefect refused it, or its flow run ended before it held the
run, or died again. What such a run is told to people by: a line in the log, `error` in the ledger, and in the end one
event.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import httpx
from prefect.events import emit_event

from pco_store.errors import StoreUnavailable
from pco_store.ledger.abandoned import AbandonedRun, count_restart, give_up, look_later, note_start
from pco_store.ledger.openings import ORGANIZATION
from pco_store.ledger.runs import RunHandle
from tasks.deployment_runs import Started, Turn, continue_fan_out, queue_of, start_organization, start_sync
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.recovery.looking import Look, look_at_flow_runs
from tasks.runs.opening import reason_of
from tasks.stopping import mark_crashed

MOST_RESTARTS: Final = 10
"""So many starts in vain, in about an hour; then the run has failed."""
FIRST_WAIT_SECONDS: Final = 10.0
LONGEST_WAIT_SECONDS: Final = 1800.0
LOOK_AGAIN_SECONDS: Final = 5.0
AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 10.0
"""For all that Prefect is asked about one run. One that takes longer is tried again later."""
GIVEN_UP: Final = "pco-sync.run.given-up"
"""The event of a run that has failed so."""
LONGEST_REASON: Final = 500

Outcome = Literal["started", "waiting", "held", "put_aside", "given_up", "cancelled", "put_off"]
"""waiting: its next flow run is there and has not begun. held: somebody has it by now. put_off: the ledger is away."""


def wait_after(restarts: int) -> float:
    """Seconds before the next start."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** (restarts - 1), LONGEST_WAIT_SECONDS)


async def restart_all(resources: Resources, abandoned: Sequence[AbandonedRun]) -> Counter[Outcome]:
    """Start each of them as far as it may be; none waits for more than a few others, and none fails another.

    Raises httpx's errors and `TimeoutError` if Prefect cannot be asked at all: then nothing was tried.
    """
    if not abandoned:
        return Counter()
    known = [one.flow_run_id for one in abandoned if one.flow_run_id]
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        looks = await look_at_flow_runs(known, silence=resources.settings.start_seconds)
    room = asyncio.Semaphore(AT_ONCE)

    async def restart(one: AbandonedRun) -> Outcome:
        async with room:
            return await _guarded(resources, one, looks.get(one.flow_run_id or ""))

    return Counter(await asyncio.gather(*(restart(one) for one in abandoned)))


async def _guarded(resources: Resources, one: AbandonedRun, look: Look | None) -> Outcome:
    """One run's trouble, whatever it is, is written down with the run."""
    try:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await _restart(resources, one, look)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it must not stop the others, and is tried again with a wait
            return await _put_aside(resources, one, error)
    except StoreUnavailable as error:
        sync_logger().warning("%s is started again later: %s", one.run.key, error)
        return "put_off"


async def _restart(resources: Resources, one: AbandonedRun, look: Look | None) -> Outcome:
    if look is not None:
        if look.doing == "cancelled" or look.is_cancelling:
            if look.is_cancelling and one.flow_run_id:
                await mark_crashed([one.flow_run_id], "its process fell silent while a person cancelled it")
            return await _give_up(resources, one, "a person cancelled its flow run", state="cancelled")
        if look.doing == "waiting" or (one.is_restarted and look.goes_on):
            async with resources.database.transaction() as connection:
                await look_later(connection, one.run.run_id, wait_seconds=LOOK_AGAIN_SECONDS)
            return "waiting"
    reason = look.said if look is not None and one.is_restarted else one.error
    if one.restarts >= MOST_RESTARTS:
        return await _give_up(resources, one, reason or "its process fell silent")
    restarts = one.restarts + 1
    async with resources.database.transaction() as connection:
        if not await count_restart(connection, one.run.run_id, restarts=restarts, wait_seconds=wait_after(restarts)):
            return "held"
    if one.flow_run_id and look is not None and look.doing in ("working", "silent"):
        await mark_crashed([one.flow_run_id], "its process fell silent; the sync is continued by another run")
    started = await _start(resources, one.run)
    async with resources.database.transaction() as connection:
        await note_start(
            connection,
            one.run.run_id,
            restarts=restarts if started.is_new else one.restarts,
            wait_seconds=wait_after(restarts),
            flow_run_id=str(started.flow_run.id),
        )
    told = f" (start {restarts} of {MOST_RESTARTS}; the last one: {reason})" if reason else ""
    sync_logger().warning("%s had been abandoned; flow run %s continues it%s", one.run.key, started.flow_run.id, told)
    return "started"


async def _put_aside(resources: Resources, one: AbandonedRun, error: Exception) -> Outcome:
    """It cannot be started now. If that may be Prefect's own trouble, it is never given up for it."""
    reason = reason_of(error)[:LONGEST_REASON]
    restarts = min(one.restarts + 1, MOST_RESTARTS - 1) if _is_passing(error) else one.restarts + 1
    wait = wait_after(restarts)
    sync_logger().warning(
        "%s cannot be started again, the next try (%d of %d) is in %g s: %s",
        one.run.key,
        restarts + 1,
        MOST_RESTARTS,
        wait,
        reason,
    )
    async with resources.database.transaction() as connection:
        await note_start(connection, one.run.run_id, restarts=restarts, wait_seconds=wait, error=reason)
    return "put_aside"


async def _give_up(
    resources: Resources, one: AbandonedRun, reason: str, *, state: Literal["failed", "cancelled"] = "failed"
) -> Outcome:
    reason = reason if state == "cancelled" else f"started {one.restarts} times in vain, the last time: {reason}"
    async with resources.database.transaction() as connection:
        is_over = await give_up(connection, one.run.run_id, state=state, error=reason[:LONGEST_REASON])
    if not is_over:
        return "held"
    sync_logger().error("%s is %s: %s", one.run.key, state, reason)
    if state == "cancelled":
        return "cancelled"
    emit_event(
        GIVEN_UP,
        resource={"prefect.resource.id": f"pco-sync.run.{one.run.run_id}", "prefect.resource.name": one.run.key},
        payload={"org_id": one.run.org_id, "restarts": one.restarts, "reason": reason[:LONGEST_REASON]},
    )
    return "given_up"


def _is_passing(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, (httpx.TransportError, TimeoutError))


async def _start(resources: Resources, run: RunHandle) -> Started:
    """Under its key, with the parameters that the ledger keeps."""
    settings, plan = resources.settings, run.plan or {}
    turn = Turn(queue=queue_of(run.mode))
    if run.entity == ORGANIZATION:
        return await start_organization(
            run.org_id,
            deployment=settings.organization_deployment,
            epoch=run.epoch,
            is_abandoned=True,
            turn=turn,
            **plan,
        )
    if run.fan_out is not None:
        return await continue_fan_out(run, deployment=settings.children_deployment, turn=turn)
    return await start_sync(
        run.org_id,
        run.entity,
        deployment=settings.entity_deployment,
        epoch=run.epoch,
        mode="delta" if run.mode == "delta" else "full",
        many_deletions="accept" if plan.get("many_deletions") == "accept" else "stop",
        is_abandoned=True,
        turn=turn,
    )
