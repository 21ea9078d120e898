"""Runs claimed children of a fan-out: each list is walked and ended on its own, so that none spoils another."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Chain, chain_to
from pco_client.client import PcoClient
from pco_client.errors import Forbidden, NotFound, PlanLacksFeature, Unauthorized
from pco_store.errors import LeaseLost, StoreUnavailable
from pco_store.ledger.fan_out.children import ChildEnd, end_child, fail_child, give_back_children, renew_children
from pco_store.ledger.runs import RunHandle
from pco_store.mirror.links import SharedList, shared_list, unlist
from tasks.background import interrupt
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.pages.evidence import Drift
from tasks.pages.processing import PageProcessing
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.pages.sync_context import Spawn
from tasks.patience import patiently
from tasks.runs.opening import reason_of, run_window
from tasks.stopping import is_stopped_by_person

MOST_ATTEMPTS: Final = 5
"""How often a child is begun before a failure makes it dead; a process that dies counts, a cancelled one does not."""
FIRST_WAIT_SECONDS: Final = 2.0
"""How long a child that failed waits before it is tried again; doubled with each attempt."""
CHILD_PAGES_IN_FLIGHT: Final = 4

Outcome = ChildEnd | Literal["failed", "dead", "lost"]
"""lost: taken over by another execution, or its fan-out was cancelled."""


@dataclass(kw_only=True)
class ChildrenReport:
    """What became of the children of one flow run, and what it took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    rows: int = 0
    quarantined: int = 0
    drift: Drift = field(default_factory=Drift)
    errors: dict[str, str] = field(default_factory=dict)
    ending: set[int] = field(default_factory=set)
    """Children whose end is being written: what they did stands, nothing interrupts them any more."""

    @property
    def failures(self) -> int:
        """Children that were not done, for whatever reason of their own."""
        return self.outcomes["failed"] + self.outcomes["dead"]


@dataclass(frozen=True, kw_only=True)
class ChildWork:
    """What the children of one flow run share. `root` is their fan-out; None for children without one."""

    resources: Resources
    client: PcoClient
    root: RunHandle | None
    processing: PageProcessing

    def chain(self, entity: str) -> Chain:
        """The chain of parents that leads to the children."""
        if self.root is None or self.root.fan_out is None:
            return _chain(entity, None)
        return _chain(self.root.entity, self.root.fan_out.below)


@lru_cache(maxsize=256)
def _chain(entity: str, below: tuple[str, ...] | None) -> Chain:
    catalog = load_catalog()
    return chain_to(catalog, catalog.entity(entity), below)


async def run_children(work: ChildWork, runs: Sequence[RunHandle], *, in_flight: int) -> ChildrenReport:
    """Walk every child, `in_flight` at a time, and write down how each ended; the lease of all is kept meanwhile.

    When interrupted, what has not ended is given back for others to run; if a person cancelled us, it is cancelled.
    """
    report = ChildrenReport()
    room = asyncio.Semaphore(in_flight)
    tasks = {
        run.run_id: asyncio.create_task(_run_one(work, run, report, room), name=f"{run.entity} {run.scope}")
        for run in runs
    }
    by_id = {run.run_id: run for run in runs}

    def unfinished() -> list[RunHandle]:
        return [by_id[run_id] for run_id, task in tasks.items() if not task.done()]

    async def keep() -> None:
        lease_seconds = work.resources.settings.lease_seconds
        while True:
            await asyncio.sleep(lease_seconds / 3)
            held = [run for run in unfinished() if run.run_id not in report.ending]
            try:
                async with work.resources.database.transaction() as connection:
                    still_ours = await renew_children(connection, held, lease_seconds=lease_seconds)
            except StoreUnavailable as error:
                sync_logger().warning("the leases of %d children could not be renewed: %s", len(held), error)
                continue
            for run in held:
                if run.run_id not in still_ours and run.run_id not in report.ending:
                    tasks[run.run_id].cancel()

    keeper = asyncio.create_task(keep(), name="leases")
    try:
        await asyncio.wait(tasks.values())
    finally:
        left = unfinished()
        await interrupt(keeper, *tasks.values())
        if left:
            await _let_go(work, left, stopped=await is_stopped_by_person())
    if dropped := [by_id[run_id] for run_id, task in tasks.items() if task.cancelled()]:
        await _let_go(work, dropped, stopped=False)  # of a cancelled fan-out: whoever continues it finds them waiting
    for task in tasks.values():
        if task.cancelled():
            report.outcomes["lost"] += 1
        else:
            task.result()
    return report


async def _let_go(work: ChildWork, left: Sequence[RunHandle], *, stopped: bool) -> None:
    """We have to stop: if a person said so, these children stay stopped, else others run them."""
    try:
        async with work.resources.database.transaction() as connection:
            await give_back_children(connection, left, stopped=stopped)
    except StoreUnavailable as error:
        sync_logger().warning("%d children were not given back, their lease will run out: %s", len(left), error)


async def _run_one(work: ChildWork, run: RunHandle, report: ChildrenReport, room: asyncio.Semaphore) -> None:
    """One child from claim to end; raises nothing but `CancelledError` and defects of our own."""
    async with room:
        try:
            outcome = await _walk_and_end(work, run, report)
        except LeaseLost:
            outcome = "lost"
        except StoreUnavailable as error:  # the ledger cannot be told; the child is taken back when its lease ends
            report.errors[run.scope] = reason_of(error)
            outcome = "failed"
    report.outcomes[outcome] += 1


async def _walk_and_end(work: ChildWork, run: RunHandle, report: ChildrenReport) -> Outcome:
    end: ChildEnd = "completed"
    reason, pages = None, 0
    try:
        pages = await _walk(work, run, report)
    except NotFound as error:
        end, reason = "absent", reason_of(error)
    except (Forbidden, PlanLacksFeature) as error:
        end, reason = "forbidden", reason_of(error)
    except (LeaseLost, StoreUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - one child's failure, whatever it is, must not end its neighbours
        return await _fail(work, run, report, error)
    if run.run_id in report.ending:
        return end  # its only page has written that down as well
    if reason is not None:
        report.errors[run.scope] = reason
    report.ending.add(run.run_id)
    shared = _shared_list(work, run) if end == "completed" else None

    async def write_down(connection: AsyncConnection) -> None:
        await end_child(connection, run, end, error=reason, pages=pages)
        if shared is not None:
            await unlist(connection, run.run_id, shared)

    await patiently(work.resources, write_down)
    return end


def _shared_list(work: ChildWork, run: RunHandle) -> SharedList | None:
    level = work.chain(run.entity).level_of(run.entity)
    return shared_list(level.entity, level.path, org_id=run.org_id, scope=run.scope)


async def _walk(work: ChildWork, run: RunHandle, report: ChildrenReport) -> int:
    """How many pages of it are committed in the end."""
    entity = run.entity
    chain = work.chain(entity)
    level = chain.level_of(entity)
    following = chain.below(entity) if work.root is not None else None
    spawn = None
    if following is not None and work.root is not None:
        window = run_window(following.entity, mode="full", until=work.root.started_at, watermark=None)
        spawn = Spawn(root=work.root, level=following, window=window, parent_scope=run.scope)
    sync, walks = await begin_walk(
        work.resources,
        work.client,
        run,
        level.entity,
        path=level.path_of(run.scope),
        in_flight=CHILD_PAGES_IN_FLIGHT,
        parents=level.parents_of(run.scope),
        shared=_shared_list(work, run),
        spawn=spawn,
        naming=level.include,
        fan_out=work.root if work.root is not None and work.root.members and work.root.entity == entity else None,
        on_completing=lambda so: report.ending.add(run.run_id) if so else report.ending.discard(run.run_id),
    )
    try:
        await finish_walk(walks, sync, work.processing)
    finally:
        report.pages += sync.tally.pages
        report.rows += sync.tally.rows
        report.quarantined += sync.tally.quarantined
        report.drift.note_all(sync.drift)
    return sync.known_pages


async def _fail(work: ChildWork, run: RunHandle, report: ChildrenReport, error: Exception) -> Outcome:
    if isinstance(error, Unauthorized):
        work.resources.forget_credentials(run.org_id)
    reason = report.errors[run.scope] = reason_of(error)
    report.ending.add(run.run_id)
    is_dead = await patiently(
        work.resources,
        lambda connection: fail_child(
            connection,
            run,
            error=reason,
            most_attempts=MOST_ATTEMPTS,
            wait_seconds=FIRST_WAIT_SECONDS * 2 ** (run.attempts - 1),
        ),
    )
    sync_logger().warning("%s %s %s: %s", run.entity, run.scope, "is dead" if is_dead else "failed", reason)
    return "dead" if is_dead else "failed"
