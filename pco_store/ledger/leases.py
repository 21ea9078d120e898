"""Holding a run: proof of life by a session lock, and by time where a session proves nothing.

The holder keeps one connection open that has an advisory lock on the run's key, and notes in the run that it has it.
When its process dies, Postgres sees the connection end and drops the lock, so a restart may take over at once. Where
sessions are shared (a pooler that lends a connection for each transaction) nothing is locked and nothing noted, and
the lease decides, as it does when the process only sleeps: after `lease_until` anybody may take over. The fence makes
either takeover safe.

The lists of a church's epoch that are read in its own flow run are held beside it, by the same session.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database, end_session, unavailable_means_retry
from pco_store.errors import LeaseLost, PlanDiffers, StatementRefused, StoreUnavailable
from pco_store.ledger.closings import close_epoch_of_church, close_run, give_up_what_keeps_failing
from pco_store.ledger.members import open_members
from pco_store.ledger.openings import (
    ORGANIZATION,
    NotOpened,
    Opened,
    RunRequest,
    find_lists,
    find_run,
    left_unfinished,
    open_new,
    open_new_lists,
    refuse_another_plan,
    sync_key,
    take_over,
)
from pco_store.ledger.runs import HELD, IS_HELD, OURS, RunHandle, held, ours

_KEY: Final = "hashtextextended('hold:' || :key, 0)"
_HAS_LOCK: Final = f"""
SELECT EXISTS (SELECT FROM pg_locks, (SELECT {_KEY} AS number) AS hold
               WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 1
                 AND classid::bigint = (number >> 32) & 4294967295 AND objid::bigint = number & 4294967295)
"""  # noqa: S608 - own constants


@dataclass(kw_only=True)
class RunLease:
    """The hold on a run, and on those that are held beside it. Renew it well before `lease_seconds` are over; release
    it when the run is finished.
    """

    database: Database
    run: RunHandle
    lease_seconds: float
    _session: AsyncConnection | None
    _locked: set[str]
    _beside: dict[int, RunHandle] = field(default_factory=dict)
    _session_is_used: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def beside(self) -> tuple[RunHandle, ...]:
        """The other runs that are held, and not done."""
        return tuple(self._beside.values())

    async def renew(self) -> None:
        """Hold for another `lease_seconds`, unless we ended the run ourselves.

        Raises `LeaseLost` when the run was taken over, `StoreUnavailable`. Of a run beside it that was taken over its
        next commit raises.
        """
        await self._extend()
        async with self._session_is_used:
            were_locked = set(self._locked)
            await self._prove_life()
        if self._locked != were_locked:
            await self._extend()

    def let_go(self, run: RunHandle) -> None:
        """A run that was held beside this one is over, however it ended."""
        self._beside.pop(run.run_id, None)

    async def release(self) -> None:
        """Give up the proof of life. The runs' states are the caller's to set."""
        session, self._session, self._locked = self._session, None, set()
        if session is not None:
            await end_session(session)

    async def _extend(self) -> None:
        runs = (self.run, *self.beside)
        with unavailable_means_retry():
            async with self.database.transaction() as connection:
                result = await connection.execute(
                    text(
                        f"""
                        UPDATE sync.runs AS run
                        SET lease_until = now() + make_interval(secs => :lease_seconds),
                            session_locked = run.key = ANY(CAST(:locked AS text[]))
                        FROM {HELD} WHERE {IS_HELD.format("run")} AND run.state IN ('running', 'awaiting')
                        RETURNING run.run_id
                        """  # noqa: S608 - own constants
                    ),
                    {"lease_seconds": self.lease_seconds, "locked": sorted(self._locked), **held(runs)},
                )
                if self.run.run_id not in result.scalars().all() and not await self._has_our_fence(connection):
                    raise LeaseLost(self.run.key, self.run.fence)

    async def _has_our_fence(self, connection: AsyncConnection) -> bool:
        """Whether nobody took over: then it was we who ended the run, and only its report is still under way."""
        statement = f"SELECT EXISTS (SELECT FROM sync.runs WHERE {OURS})"  # noqa: S608 - own constant
        return bool(await connection.scalar(text(statement), ours(self.run)))

    async def _prove_life(self) -> None:
        """Take the session locks again if their connection was lost, for instance in a restart of Postgres."""
        if self._session is not None and self.run.key in self._locked:
            try:
                if await _ask(self._session, _HAS_LOCK, self.run.key):
                    return
                await self.database.share_sessions()  # another session has answered
            except StatementRefused:
                await self.database.share_sessions()
            except StoreUnavailable:
                pass
            await self.release()
        if self._session is None:
            self._session = await _new_session(self.database)
        self._locked |= await _try_locks(self._session, [one.key for one in (self.run, *self.beside)])


async def open_run(database: Database, request: RunRequest) -> tuple[Opened | NotOpened, RunLease | None]:
    """Decide about a request and hold the run if it is ours; race-free between any number of processes.

    Safe to repeat by the same flow run when the answer was lost. Raises `StoreUnavailable`, `PlanDiffers`.
    """
    session = await _new_session(database)
    is_held = is_locked = False
    try:
        with unavailable_means_retry():
            async with database.transaction() as connection:
                found = await find_run(connection, request)
                decision = await _decide(connection, session, found, request)
                if isinstance(decision, Opened):
                    if session is not None:
                        is_locked = await _try_lock(session, decision.run.key)  # before others can see the run
                    await _note_lock(connection, decision.run, is_locked=is_locked)
        if isinstance(decision, NotOpened):
            return decision, None
        is_held = True
        return decision, RunLease(
            database=database,
            run=decision.run,
            lease_seconds=request.lease_seconds,
            _session=session,
            _locked={decision.run.key} if is_locked else set(),
        )
    finally:
        if not is_held and session is not None:
            await end_session(session)


async def open_beside(lease: RunLease, requests: Sequence[RunRequest]) -> dict[str, Opened | NotOpened | PlanDiffers]:
    """Decide about lists of the epoch of the church that `lease` holds, by entity; those that are ours are held by it.

    As `open_run` does for each of them, in few statements as long as they are new. Safe to repeat by the same flow run
    when the answer was lost. Raises `StoreUnavailable`.
    """
    async with lease._session_is_used:
        try:
            return await _open_beside(lease, requests)
        except StoreUnavailable:
            await lease._prove_life()  # it may be the session that is gone
            raise


async def _open_beside(lease: RunLease, requests: Sequence[RunRequest]) -> dict[str, Opened | NotOpened | PlanDiffers]:
    session, keys = lease._session, [sync_key(one.org_id, one.entity, lease.run.epoch) for one in requests]
    decisions: dict[str, Opened | NotOpened | PlanDiffers] = {}
    with unavailable_means_retry():
        async with lease.database.transaction() as connection:
            found = await find_lists(connection, requests, keys)
            new = [one for one in requests if one.entity not in found]
            fresh = [sync_key(one.org_id, one.entity, lease.run.epoch) for one in new]
            locked = await _try_locks(session, fresh)  # before others can see the runs
            sideloads = {one.entity: one.sideloads for one in new}
            opened = await open_new_lists(connection, new, locked=locked)
            for run in await open_members(connection, [(one, sideloads[one.entity]) for one in opened]):
                decisions[run.entity] = Opened(run=run)
            for request in requests:
                if request.entity in found:
                    decisions[request.entity] = await _decide_beside(connection, lease, found[request.entity], request)
    for one in decisions.values():
        if isinstance(one, Opened):
            lease._beside[one.run.run_id] = one.run
    lease._locked |= locked
    return decisions


async def _decide_beside(
    connection: AsyncConnection, lease: RunLease, found: Row[Any], request: RunRequest
) -> Opened | NotOpened | PlanDiffers:
    try:
        decision = await _decide(connection, lease._session, found, request)
    except PlanDiffers as error:  # nothing was written: it is found out by comparing
        return error
    if isinstance(decision, Opened):
        locked = await _try_locks(lease._session, [decision.run.key])
        await _note_lock(connection, decision.run, is_locked=bool(locked))
        lease._locked |= locked
    return decision


async def _decide(
    connection: AsyncConnection, session: AsyncConnection | None, found: Row[Any] | None, request: RunRequest
) -> Opened | NotOpened:
    if found is None:
        left = await left_unfinished(connection, request) if request.epoch is None else None
        return Opened(run=await _open(connection, request), left=left)
    if request.on_conflict == "restart" and not _has_begun_it(found, request):
        await close_run(connection, found.run_id)
        if request.entity == ORGANIZATION:
            await close_epoch_of_church(connection, request.org_id, found.epoch)
        return Opened(run=await _open(connection, request))
    refuse_another_plan(found, request)
    if await give_up_what_keeps_failing(connection, found, request):
        return Opened(run=await _open(connection, request), left=f"{found.key} has kept failing and is given up")
    if found.state in ("completed", "awaiting"):
        return _not_opened(found, "running" if found.state == "awaiting" else "completed")
    is_held = found.state == "running" and found.is_leased and not _is_the_same(found, request)
    if is_held and not await _is_proven_dead(connection, session, found):
        return _not_opened(found, "running")
    dead = found.flow_run_id if found.state == "running" and found.flow_run_id != request.flow_run_id else None
    return Opened(run=await take_over(connection, found.run_id, request), taken_from=dead)


async def _open(connection: AsyncConnection, request: RunRequest) -> RunHandle:
    (run,) = await open_members(connection, [(await open_new(connection, request), request.sideloads)])
    return run


async def _is_proven_dead(connection: AsyncConnection, session: AsyncConnection | None, found: Row[Any]) -> bool:
    """Whether the holder had locked its session, and the lock is gone. Who could lock none is given its lease."""
    if not found.session_locked:
        return False
    if session is not None:
        return await _try_lock(session, found.key)
    return await _ask(connection, f"SELECT pg_try_advisory_xact_lock({_KEY})", found.key)


async def _note_lock(connection: AsyncConnection, run: RunHandle, *, is_locked: bool) -> None:
    await connection.execute(
        text("UPDATE sync.runs SET session_locked = :is_locked WHERE run_id = :run_id"),
        {"is_locked": is_locked, "run_id": run.run_id},
    )


def _has_begun_it(found: Row[Any], request: RunRequest) -> bool:
    """Whether the flow run has begun the run before, and is executed once more: after a drain, on another worker."""
    return found.state == "running" and request.flow_run_id is not None and found.flow_run_id == request.flow_run_id


def _is_the_same(found: Row[Any], request: RunRequest) -> bool:
    """Whether the request opened the run itself, and the answer to its commit was lost on the way."""
    return request.flow_run_id is not None and (found.owner, found.flow_run_id) == (request.owner, request.flow_run_id)


def _not_opened(found: Row[Any], why: Any) -> NotOpened:
    return NotOpened(why=why, key=found.key, epoch=found.epoch, flow_run_id=found.flow_run_id, owner=found.owner)


async def _new_session(database: Database) -> AsyncConnection | None:
    """A connection that keeps its session; None where they are shared."""
    if not await database.has_own_sessions():
        return None
    with unavailable_means_retry():
        session = await database.sessions.connect()
        await session.execution_options(isolation_level="AUTOCOMMIT")
        return session


async def _try_lock(session: AsyncConnection, key: str) -> bool:
    return key in await _try_locks(session, [key])


async def _try_locks(session: AsyncConnection | None, keys: Sequence[str]) -> set[str]:
    """Those that are locked now; none without a session of our own."""
    if session is None or not keys:
        return set()
    with unavailable_means_retry():
        locked = await session.execute(
            text(
                f"SELECT key FROM (SELECT key, pg_try_advisory_lock({_KEY.replace(':key', 'key')}) AS is_locked "  # noqa: S608 - own constants
                "FROM unnest(CAST(:keys AS text[])) AS key OFFSET 0) AS tried WHERE is_locked"
            ),
            {"keys": list(keys)},
        )
    return set(locked.scalars())


async def _ask(connection: AsyncConnection, question: str, key: str) -> bool:
    with unavailable_means_retry():
        answer: bool | None = await connection.scalar(text(question), {"key": key})
    return bool(answer)
