"""What a run wrote down about its own end, and which ends Prefect does not show yet.

Prefect shows a fan-out's flow run, and that of its church, as they were when these flow runs ended. What changes after
that (the last child is done, somebody cancels or replays it) is noted here in the transaction that changes it, until
somebody has brought Prefect up to date.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import ORGANIZATION
from pco_store.ledger.runs import OURS, RunHandle, ours


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRun:
    """A run as it stands in the ledger, to read from."""

    run_id: int
    org_id: str
    entity: str
    epoch: str
    key: str
    mode: str
    state: str
    error: str | None
    flow_run_id: str | None
    result: Mapping[str, Any] | None


_COLUMNS = "run_id, org_id, entity, epoch, key, mode, state, error, flow_run_id, result"


async def keep_deletions(
    connection: AsyncConnection, run: RunHandle, *, verdict: str, missing: int, deleted: int, unplaced: int = 0
) -> None:
    """What was found out about the records that a complete sync did not show; in the transaction that completes it."""
    told = {"verdict": verdict, "missing": missing, "deleted": deleted} | ({"unplaced": unplaced} if unplaced else {})
    await connection.execute(
        text(f"UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE {OURS}"),  # noqa: S608 - own constant
        {"told": json.dumps(told), **ours(run)},
    )


async def find_by_key(connection: AsyncConnection, key: str) -> LedgerRun | None:
    """The run with this key."""
    return await _find(connection, "key = :key", key=key)


async def find_by_id(connection: AsyncConnection, run_id: int) -> LedgerRun | None:
    """The run with this number."""
    return await _find(connection, "run_id = :run_id", run_id=run_id)


async def find_by_flow_run(
    connection: AsyncConnection, *, org_id: str, entity: str, scope: str, flow_run_id: str
) -> LedgerRun | None:
    """The run that a flow run has taken; None as long as it has not."""
    condition = "org_id = :org_id AND entity = :entity AND scope = :scope AND flow_run_id = :flow_run_id"
    return await _find(connection, condition, org_id=org_id, entity=entity, scope=scope, flow_run_id=flow_run_id)


async def find_newest(
    connection: AsyncConnection, *, org_id: str, entity: str, scope: str, mode: str
) -> LedgerRun | None:
    """The newest turn in that mode: what a start without an epoch joins."""
    condition = "org_id = :org_id AND entity = :entity AND scope = :scope AND mode = :mode AND state <> 'closed'"
    return await _find(connection, condition, org_id=org_id, entity=entity, scope=scope, mode=mode)


async def _find(connection: AsyncConnection, condition: str, **values: str | int) -> LedgerRun | None:
    result = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM sync.runs WHERE {condition} ORDER BY turn DESC NULLS LAST LIMIT 1"),  # noqa: S608 - own conditions
        values,
    )
    row = result.one_or_none()
    return None if row is None else LedgerRun(**row._mapping)


async def note_unshown(connection: AsyncConnection, root_id: int) -> None:
    """The end of a fan-out has changed: Prefect is to show it, and that of its church; in the same transaction."""
    await connection.execute(
        text(
            """
            INSERT INTO sync.unshown (run_id)
            SELECT run.run_id FROM sync.runs AS root JOIN sync.runs AS run
              ON run.run_id = root.run_id
              OR (run.org_id = root.org_id AND run.entity = :church AND run.scope = '' AND run.epoch = root.epoch)
            WHERE root.run_id = :root_id AND run.state <> 'closed'
            ORDER BY run.run_id
            ON CONFLICT (run_id) DO UPDATE SET changes = unshown.changes + 1
            """
        ),
        {"root_id": root_id, "church": ORGANIZATION},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Unshown:
    """A run whose end Prefect does not show yet; `changes` tells a later change from this one."""

    run_id: int
    changes: int
    flow_run_id: str | None
    is_church: bool


async def list_unshown(connection: AsyncConnection, *, limit: int) -> Sequence[Unshown]:
    """Those that are not being worked on by their own flow run, oldest first."""
    result = await connection.execute(
        text(
            """
            SELECT run_id, changes, flow_run_id, entity = :church AS is_church
            FROM sync.unshown JOIN sync.runs USING (run_id) WHERE state <> 'running'
            ORDER BY noted_at, run_id LIMIT :limit
            """
        ),
        {"church": ORGANIZATION, "limit": limit},
    )
    return [Unshown(**row._mapping) for row in result]


async def was_shown(connection: AsyncConnection, one: Unshown) -> None:
    """Prefect shows it now; what has changed meanwhile stays noted."""
    await connection.execute(
        text("DELETE FROM sync.unshown WHERE run_id = :run_id AND changes = :changes"),
        {"run_id": one.run_id, "changes": one.changes},
    )


async def show_later(connection: AsyncConnection, one: Unshown) -> None:
    """It cannot be shown yet; the others come first the next time."""
    await connection.execute(
        text("UPDATE sync.unshown SET noted_at = now() WHERE run_id = :run_id"), {"run_id": one.run_id}
    )
