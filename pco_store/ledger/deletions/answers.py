"""What PCO said of single records that a walk had missed: checkpoints of asking, until the run is settled."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.churches.wall import refuse_removed
from pco_store.ledger.runs import RunHandle, check_fence
from pco_store.mirror.tombstones import mark_deleted

ASKING_SECONDS: Final = 60.0
"""After so long without a sign of life, who asks for what a fan-out misses is taken for dead."""

Found = tuple[str, Sequence[str], datetime]
"""Records that are gone: by which reason, their ids, and when they were last looked for."""


async def read_answers(connection: AsyncConnection, run_id: int) -> dict[str, datetime | None]:
    """The records that were asked for: when PCO last said that there is none, or None for one that it showed."""
    result = await connection.execute(
        text("SELECT record_id, is_absent, asked_at FROM sync.answers WHERE run_id = :run_id"), {"run_id": run_id}
    )
    return {row.record_id: row.asked_at if row.is_absent else None for row in result}


async def record_answers(
    connection: AsyncConnection, run: RunHandle, asked: Sequence[str], *, absent: Collection[str], at: datetime
) -> None:
    """Remember it; safe to repeat. Raises `LeaseLost` when a run that is read under a lease is not ours any more, and
    `ChurchRemoved`.
    """
    if run.fan_out is None:
        await check_fence(connection, run)
    else:
        await refuse_removed(connection, run.org_id)
    await connection.execute(
        text(
            """
            INSERT INTO sync.answers (run_id, record_id, is_absent, asked_at)
            SELECT :run_id, one, one = ANY(CAST(:absent AS text[])), :at FROM unnest(CAST(:asked AS text[])) AS one
            ON CONFLICT (run_id, record_id) DO NOTHING
            """
        ),
        {"run_id": run.run_id, "asked": list(asked), "absent": list(absent), "at": at},
    )


async def note_asking(connection: AsyncConnection, root_id: int) -> None:
    """Somebody finds out what the lists of a complete fan-out miss; the recovery asks nobody else to meanwhile."""
    await connection.execute(
        text(
            "UPDATE sync.runs SET not_before = greatest(not_before, now() + make_interval(secs => :wait)) "
            "WHERE run_id = :root_id AND state = 'completed'"
        ),
        {"root_id": root_id, "wait": ASKING_SECONDS},
    )


async def forget_answers(connection: AsyncConnection, run_id: int) -> None:
    """The run is settled."""
    await connection.execute(text("DELETE FROM sync.answers WHERE run_id = :run_id"), {"run_id": run_id})


async def settle_run(
    connection: AsyncConnection, run: RunHandle, table: Table, told: Mapping[str, object], found: Sequence[Found]
) -> int:
    """Give those that are gone their tombstones, and write down that it is done; how many got one.

    Whoever continues the run does not do it again, and the answers are not needed any more. In one transaction. Raises
    `LeaseLost`.
    """
    await check_fence(connection, run)
    deleted = 0
    for reason, ids, at in found:
        deleted += await mark_deleted(connection, run.org_id, table, ids, reason=reason, absent_at=at)
    await forget_answers(connection, run.run_id)
    await connection.execute(
        text("UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE run_id = :run_id"),
        {"told": json.dumps({**told, "deleted": deleted}), "run_id": run.run_id},
    )
    return deleted
