"""Continues what nobody works on any more: syncs, fan-outs, and children whose lease ran out.

Whatever is wrong with one of them, the others go on: each is looked at on its own, a few at a time, with bounded
patience, and what it raises is written down and not passed on.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from prefect.context import AsyncClientContext
from pydantic import BaseModel, ConfigDict

from pco_store.alone import alone
from pco_store.ledger.abandoned import abandoned_runs
from pco_store.ledger.deletions.missing_below import unsettled_fan_outs
from pco_store.ledger.fan_out.fan_outs import unfinished_fan_outs
from pco_store.ledger.runs import RunHandle
from tasks.deployment_runs import continue_fan_out
from tasks.fan_out.submitting import deployments_read_once, submit_more, submit_unanswered
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.recovery.restarting import restart_all
from tasks.recovery.silent_flow_runs import mark_silent_flow_runs
from tasks.recovery.vanished import take_back_vanished
from tasks.reports.events import tell_freshness
from tasks.reports.showing import show_ends
from tasks.runs.opening import reason_of

T = TypeVar("T")

FAN_OUTS_AT_ONCE: Final = 4
PATIENCE_SECONDS: Final = 20.0
"""For one fan-out in one sweep; a submission that is cut off is made again."""


class Recovered(BaseModel):
    """What one sweep found and did.

    `syncs_put_aside` could not be started and are tried again later, `syncs_given_up` were started in vain too often
    and have failed: their rows in the ledger say why. `troubles` counts what else went wrong, by the log.
    """

    model_config = ConfigDict(frozen=True)

    syncs_started: int = 0
    syncs_waiting: int = 0
    syncs_put_aside: int = 0
    syncs_given_up: int = 0
    fan_outs_seen: int = 0
    children_submitted: int = 0
    children_taken_back: int = 0
    flow_runs_crashed: int = 0
    troubles: int = 0


async def recover(resources: Resources) -> Recovered:
    """One sweep; nothing if another one goes on. Raises `StoreUnavailable`, and `RuntimeError` while Prefect is away.

    The lock is Postgres's, which ends with its holder, or after a while if that only sleeps: Prefect keeps a
    concurrency slot of a dead process for minutes, and it is dead processes that this is about.
    """
    async with alone(resources.database, "recover") as is_alone:
        if not is_alone:
            return Recovered()
        async with AsyncClientContext.get_or_create():
            with deployments_read_once():
                return await _Sweep(resources).run()


class _Sweep:
    """Its parts go on beside each other; `_troubles` counts what they could not do."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._room = asyncio.Semaphore(FAN_OUTS_AT_ONCE)
        self._troubles = 0

    async def run(self) -> Recovered:
        resources = self._resources
        async with resources.database.transaction() as connection:
            abandoned = await abandoned_runs(connection)
            fan_outs = await unfinished_fan_outs(connection)
            unsettled = await unsettled_fan_outs(connection)
        restarted, pushed_on, crashed, _ = await asyncio.gather(
            self._guarded("the abandoned runs", lambda: restart_all(resources, abandoned), seconds=None),
            asyncio.gather(*(self._of(root, self._push_on) for root in fan_outs)),
            self._guarded("the flow runs", lambda: mark_silent_flow_runs(resources)),
            asyncio.gather(*(self._of(root, self._let_settle) for root in unsettled)),
        )
        await self._guarded("what Prefect shows", lambda: show_ends(resources), seconds=None)
        await self._guarded("how current the churches are", lambda: tell_freshness(resources))
        outcomes = restarted or Counter()
        pushed = [one for one in pushed_on if one is not None]
        return Recovered(
            syncs_started=outcomes["started"],
            syncs_waiting=outcomes["waiting"],
            syncs_put_aside=outcomes["put_aside"],
            syncs_given_up=outcomes["given_up"],
            fan_outs_seen=len(fan_outs),
            children_submitted=sum(submitted for submitted, _ in pushed),
            children_taken_back=sum(taken_back for _, taken_back in pushed),
            flow_runs_crashed=crashed or 0,
            troubles=self._troubles,
        )

    async def _of(self, root: RunHandle, step: Callable[[RunHandle], Awaitable[T]]) -> T | None:
        async with self._room:
            return await self._guarded(root.key, lambda: step(root))

    async def _guarded(
        self, what: str, step: Callable[[], Awaitable[T]], *, seconds: float | None = PATIENCE_SECONDS
    ) -> T | None:
        try:
            async with asyncio.timeout(seconds):
                return await step()
        except Exception as error:  # noqa: BLE001 - one's trouble, whatever it is, must not stop the others
            self._troubles += 1
            sync_logger().warning("the recovery of %s is put off: %s", what, reason_of(error))
            return None

    async def _push_on(self, root: RunHandle) -> tuple[int, int]:
        taken_back = await take_back_vanished(self._resources, root)
        submitted = await submit_unanswered(self._resources, root)
        return submitted + await submit_more(self._resources, root), taken_back

    async def _let_settle(self, root: RunHandle) -> None:
        """A run that joins the complete fan-out finds out what was deleted: it may have to ask for many records."""
        await continue_fan_out(root, deployment=self._resources.settings.children_deployment)
