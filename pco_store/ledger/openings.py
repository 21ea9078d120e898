"""Who may run an epoch: one statement of the rules that all entrances share (a deployment, the UI, Python)."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Sideload, load_catalog
from pco_store.churches.wall import refuse_removed
from pco_store.errors import PlanDiffers
from pco_store.ledger.plans import compared, decisions_of
from pco_store.ledger.runs import FanOutPlan, RunHandle, RunWindow

ConflictPolicy = Literal["join", "reject", "restart"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What somebody wants to run. Without an `epoch` an unfinished one with the same decisions is continued, else one
    opens.

    `window`, `page_size` and `sideloads` (what is read with the list's records) are used only when a new epoch opens.
    Of `fan_out` and `plan`, what decides the result is the epoch's (`pco_store.ledger.plans`); the rest is that of
    whoever runs it last.
    """

    org_id: str
    entity: str
    scope: str = ""
    epoch: str | None = None
    mode: str
    on_conflict: ConflictPolicy
    window: RunWindow
    page_size: int
    owner: str
    flow_run_id: str | None
    lease_seconds: float
    fan_out: FanOutPlan | None = None
    plan: Mapping[str, Any] | None = None
    sideloads: tuple[Sideload, ...] = ()

    @property
    def decisions(self) -> dict[str, Any]:
        """The parameters that decide the result."""
        return decisions_of(self.mode, self.plan, None if self.fan_out is None else asdict(self.fan_out))


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The run is ours.

    `taken_from` is the flow run that held it and did not end it, so that it must be dead. `left` says of an unfinished
    turn why it was not continued instead.
    """

    run: RunHandle
    taken_from: str | None = None
    left: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotOpened:
    """The run is not started again; `why` is what it is doing, `flow_run_id` who does or did it."""

    why: Literal["running", "completed"]
    key: str
    epoch: str
    flow_run_id: str | None
    owner: str


FAN_OUT_SCOPE: Final = "*"
"""The scope of a fan-out itself; that of its children is their parent's id, and of a plain sync it is empty."""

DUE: Final = "due"
"""The mode of a fan-out that reads only lists that are due."""

WANTED: Final = "wanted"
"""How a fan-out is asked for that reads what a full sync of a church wants, and what is due; its mode is `DUE`."""

ORGANIZATION: Final = "organization"
"""Stands where an entity is due, for the run that mirrors a whole church. No entity is called so."""


UNFINISHED: Final = "('running', 'awaiting', 'failed', 'cancelled')"

_FOUND: Final = """
    SELECT *, lease_until > now() AS is_leased FROM sync.runs
    WHERE org_id = :org_id AND entity = :entity AND scope = :scope
"""


def sync_key(org_id: str, entity: str, epoch: str, scope: str = "") -> str:
    """The idempotency key of a sync; no clock in it.

    An epoch may hold colons and a scope may not, so the scope has to stand in every key of a fan-out, its own included.
    """
    if entity == ORGANIZATION:
        return f"sync-organization:{org_id}:{epoch}"
    if scope:
        return f"sync-children:{org_id}:{entity}:{scope}:{epoch}"
    return f"sync-entity:{org_id}:{entity}:{epoch}"


async def find_run(connection: AsyncConnection, request: RunRequest) -> Row[Any] | None:
    """The run that the request is about, locked; None if it is a new epoch.

    Requests for one (org, entity, scope) wait for each other here until their transactions end. Raises `ChurchRemoved`.
    """
    await refuse_removed(connection, request.org_id)
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('open:' || :name, 0))"),
        {"name": f"{request.org_id}|{request.entity}|{request.scope}"},
    )
    if request.epoch is not None:
        result = await connection.execute(
            text(f"{_FOUND} AND epoch = :epoch AND state <> 'closed' ORDER BY turn DESC LIMIT 1 FOR UPDATE"),
            {**_list_of(request), "epoch": request.epoch},
        )
        return result.one_or_none()
    same = next((row.run_id for row in await _unfinished(connection, request) if not _difference(row, request)), None)
    result = await connection.execute(
        text(f"{_FOUND} AND run_id = :run_id AND state IN {UNFINISHED} FOR UPDATE"),
        {**_list_of(request), "run_id": same},
    )
    return result.one_or_none()


async def left_unfinished(connection: AsyncConnection, request: RunRequest) -> str | None:
    """What a new turn leaves behind: the last unfinished one of its mode, which was begun with another plan."""
    left = next((row for row in await _unfinished(connection, request) if _difference(row, request)), None)
    if left is None:
        return None
    return (
        f"{left.key} is unfinished and was begun with {_difference(left, request)}: it stays as it "
        f"is, and its epoch {left.epoch} continues it"
    )


def refuse_another_plan(found: Row[Any], request: RunRequest) -> None:
    """Raises `PlanDiffers` if the run was begun with other decisions than those of the request that names it."""
    if difference := _difference(found, request):
        raise PlanDiffers(found.key, difference)


async def _unfinished(connection: AsyncConnection, request: RunRequest) -> Sequence[Row[Any]]:
    result = await connection.execute(
        text(f"{_FOUND} AND state IN {UNFINISHED} AND mode = :mode ORDER BY turn DESC"),
        {**_list_of(request), "mode": request.mode},
    )
    return result.all()


def _list_of(request: RunRequest) -> dict[str, str]:
    return {"org_id": request.org_id, "entity": request.entity, "scope": request.scope}


def _difference(row: Row[Any], request: RunRequest) -> str:
    begun = decisions_of(row.mode, row.plan, row.fan_out)
    return compared(begun, request.decisions, is_list=request.entity != ORGANIZATION)


async def open_new(connection: AsyncConnection, request: RunRequest) -> RunHandle:
    """Open a new epoch; an unnamed one is called after its turn.

    That of a church is called after itself: its syncs have the same epoch, and turns of their own.
    """
    turn = await connection.scalar(
        text(
            "SELECT coalesce(max(turn), 0) + 1 FROM sync.runs "
            "WHERE org_id = :org_id AND entity = :entity AND scope = :scope"
        ),
        _list_of(request),
    )
    epoch = request.epoch if request.epoch is not None else await _unused_epoch(connection, request, turn)
    result = await connection.execute(
        text(
            """
            INSERT INTO sync.runs (org_id, entity, scope, epoch, key, turn, state, mode, fence, owner, lease_until,
                flow_run_id, window_attribute, window_since, window_until, page_size, fan_out, plan)
            VALUES (:org_id, :entity, :scope, :epoch, :key, :turn, 'running', :mode, 1, :owner,
                now() + make_interval(secs => :lease_seconds), :flow_run_id, :window_attribute, :window_since,
                :window_until, :page_size, CAST(:fan_out AS jsonb), CAST(:plan AS jsonb))
            RETURNING *
            """
        ),
        {
            **_list_of(request),
            "epoch": epoch,
            "key": sync_key(request.org_id, request.entity, epoch, request.scope),
            "turn": turn,
            "mode": request.mode,
            "owner": request.owner,
            "lease_seconds": request.lease_seconds,
            "flow_run_id": request.flow_run_id,
            "window_attribute": request.window.attribute,
            "window_since": request.window.since,
            "window_until": request.window.until,
            "page_size": request.page_size,
            **_written(request),
        },
    )
    return handle_of(result.one())


async def _unused_epoch(connection: AsyncConnection, request: RunRequest, turn: int) -> str:
    """After the turn, or the next number that nobody has named before: a person may call an epoch as we do."""
    is_church = request.entity == ORGANIZATION
    name = ORGANIZATION if is_church else "turn"
    lists = load_catalog().by_name if is_church else ()  # they would have the church's epoch
    while True:
        epoch = f"{name}-{turn}"
        keys = [sync_key(request.org_id, request.entity, epoch, request.scope)]
        keys += [sync_key(request.org_id, one, epoch, scope) for one in lists for scope in ("", FAN_OUT_SCOPE)]
        is_used = text("SELECT EXISTS (SELECT FROM sync.runs WHERE key = ANY(CAST(:keys AS text[])))")
        if not await connection.scalar(is_used, {"keys": keys}):
            return epoch
        turn += 1


async def find_lists(
    connection: AsyncConnection, requests: Sequence[RunRequest], keys: Sequence[str]
) -> dict[str, Row[Any]]:
    """The runs with these keys, locked, by entity: `find_run` for many lists of a named epoch at a time.

    Raises `ChurchRemoved`.
    """
    await refuse_removed(connection, *(one.org_id for one in requests))
    names = sorted(f"{one.org_id}|{one.entity}|{one.scope}" for one in requests)  # two of us wait in the same order
    await connection.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtextextended('open:' || name, 0)) "
            "FROM unnest(CAST(:names AS text[])) AS name"
        ),
        {"names": names},
    )
    result = await connection.execute(
        text(
            "SELECT *, lease_until > now() AS is_leased FROM sync.runs WHERE key = ANY(CAST(:keys AS text[])) "
            "ORDER BY run_id FOR UPDATE"
        ),
        {"keys": list(keys)},
    )
    return {row.entity: row for row in result}


async def open_new_lists(
    connection: AsyncConnection, requests: Sequence[RunRequest], *, locked: Set[str]
) -> list[RunHandle]:
    """`open_new` for many lists of a named epoch at a time; `locked` are the keys that their holder's session has."""
    if not requests:
        return []
    told = [
        {
            "org_id": one.org_id,
            "entity": one.entity,
            "epoch": one.epoch,
            "key": (key := sync_key(one.org_id, one.entity, one.epoch or "")),
            "mode": one.mode,
            "owner": one.owner,
            "flow_run_id": one.flow_run_id,
            "lease_seconds": one.lease_seconds,
            "window_attribute": one.window.attribute,
            "window_since": one.window.since and one.window.since.isoformat(),
            "window_until": one.window.until and one.window.until.isoformat(),
            "page_size": one.page_size,
            "session_locked": key in locked,
            "plan": one.plan and dict(one.plan),
        }
        for one in requests
    ]
    result = await connection.execute(
        text(
            """
            INSERT INTO sync.runs (org_id, entity, epoch, key, turn, state, mode, fence, owner, flow_run_id,
                lease_until, window_attribute, window_since, window_until, page_size, session_locked, plan)
            SELECT org_id, entity, epoch, key,
                (SELECT coalesce(max(turn), 0) + 1 FROM sync.runs AS earlier
                 WHERE (earlier.org_id, earlier.entity, earlier.scope) = (new.org_id, new.entity, '')),
                'running', mode, 1, owner, flow_run_id, now() + make_interval(secs => lease_seconds),
                window_attribute, window_since, window_until, page_size, session_locked, plan
            FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS new (
                org_id text, entity text, epoch text, key text, mode text, owner text, flow_run_id text,
                lease_seconds double precision, window_attribute text, window_since timestamptz,
                window_until timestamptz, page_size integer, session_locked boolean, plan jsonb)
            RETURNING *
            """
        ),
        {"told": json.dumps(told)},
    )
    return [handle_of(row) for row in result]


async def take_over(connection: AsyncConnection, run_id: int, request: RunRequest) -> RunHandle:
    """Become the run's only writer: the fence moves, and whoever held it cannot commit any more."""
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs
            SET state = 'running', fence = fence + 1, owner = :owner, flow_run_id = :flow_run_id, error = NULL,
                not_before = NULL, submission = NULL, lease_until = now() + make_interval(secs => :lease_seconds),
                fan_out = coalesce(CAST(:fan_out AS jsonb), fan_out), plan = coalesce(CAST(:plan AS jsonb), plan)
            WHERE run_id = :run_id RETURNING *
            """
        ),
        {
            "run_id": run_id,
            "owner": request.owner,
            "flow_run_id": request.flow_run_id,
            "lease_seconds": request.lease_seconds,
            **_written(request),
        },
    )
    return handle_of(result.one())


def _written(request: RunRequest) -> dict[str, str | None]:
    return {
        "fan_out": None if request.fan_out is None else json.dumps(asdict(request.fan_out)),
        "plan": None if request.plan is None else json.dumps(dict(request.plan)),
    }


def handle_of(row: Row[Any]) -> RunHandle:
    """The handle for a row of sync.runs."""
    return RunHandle(
        run_id=row.run_id,
        token=str(row.token),
        org_id=row.org_id,
        entity=row.entity,
        scope=row.scope,
        epoch=row.epoch,
        key=row.key,
        fence=row.fence,
        mode=row.mode,
        window=RunWindow(attribute=row.window_attribute, since=row.window_since, until=row.window_until),
        page_size=row.page_size,
        started_at=row.started_at,
        parent_run_id=row.parent_run_id,
        fan_out=None if row.fan_out is None else _fan_out(row.fan_out),
        attempts=row.attempts,
        parts=row.parts,
        plan=row.plan,
        members=tuple(row.members or ()),
        read_with=row.read_with,
    )


def _fan_out(told: Mapping[str, Any]) -> FanOutPlan:
    """As far as this program understands it: a newer one may have written more."""
    return FanOutPlan(
        below=tuple(told.get("below") or ()),
        groups_per_run=told.get("groups_per_run", 1),
        most_under_way=told.get("most_under_way", 200),
        many_deletions=told.get("many_deletions", "stop"),
        most_requests=told.get("most_requests", 0),
        wanted=told.get("wanted", False),
    )
