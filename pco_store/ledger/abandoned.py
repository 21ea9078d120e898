"""Runs whose holder fell silent: what the recovery looks for, and what it writes down about each of them.

`restarts` counts how often a run was started again since it last got anywhere, `not_before` is when it may be started
again, and `submission` is the flow run that shall continue it; whoever takes it over clears these two.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import ORGANIZATION, handle_of
from pco_store.ledger.runs import RunHandle

_ABANDONED: Final = (
    "state = 'running' AND lease_until < now() AND parent_run_id IS NULL AND turn IS NOT NULL AND read_with IS NULL"
)

_IS_LEFT_TO_CHURCH: Final = """
    coalesce(run.plan ->> 'is_of_church' = 'true', false) AND EXISTS (
        SELECT FROM sync.runs AS church
        WHERE church.org_id = run.org_id AND church.entity = :organization AND church.epoch = run.epoch
          AND church.state = 'running')
"""
"""A list that is read in the flow run of its whole church: whoever continues that one continues the list."""

_IS_AHEAD: Final = """
    EXISTS (SELECT FROM sync.pages AS page WHERE page.run_id = run.run_id AND page.committed_at > run.restarted_at)
    OR EXISTS (SELECT FROM sync.answers AS answer
               WHERE answer.run_id = run.run_id AND answer.asked_at > run.restarted_at)
    OR (run.entity = :organization AND EXISTS (
            SELECT FROM sync.runs AS part
            WHERE part.org_id = run.org_id AND part.epoch = run.epoch AND part.run_id <> run.run_id
              AND (part.completed_at > run.restarted_at OR EXISTS (
                    SELECT FROM sync.pages AS page
                    WHERE page.run_id = part.run_id AND page.committed_at > run.restarted_at))))
"""
"""Whether anything was committed since the run was last started again. Null restarted_at: it never was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AbandonedRun:
    """A sync or fan-out that nobody works on.

    `flow_run_id` is the flow run that held it or, if it `is_restarted`, the one that was to continue it. `restarts` are
    those since it last got anywhere; `error` is why it could not be started the last time.
    """

    flow_run_id: str | None
    restarts: int
    is_restarted: bool
    error: str | None
    run: RunHandle


async def abandoned_runs(connection: AsyncConnection) -> list[AbandonedRun]:
    """Syncs and fan-outs that are running by the ledger although their lease ran out, and that may be started now.

    Those that were least often started in vain go first. What a church's flow run reads is left to that one.
    """
    result = await connection.execute(
        text(
            f"""
            SELECT run.*, CASE WHEN {_IS_AHEAD} THEN 0 ELSE restarts END AS vain FROM sync.runs AS run
            WHERE {_ABANDONED} AND (not_before IS NULL OR not_before <= now()) AND NOT ({_IS_LEFT_TO_CHURCH})
            ORDER BY restarts, lease_until
            """  # noqa: S608 - own constants
        ),
        {"organization": ORGANIZATION},
    )
    return [_abandoned(row) for row in result]


async def count_restart(connection: AsyncConnection, run_id: int, *, restarts: int, wait_seconds: float) -> bool:
    """Before it is started again: it was so for the `restarts`th time, and waits so long for the next one.

    False: somebody holds it by now.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs SET restarts = :restarts, restarted_at = now(),
                not_before = now() + make_interval(secs => :wait_seconds)
            WHERE run_id = :run_id AND {_ABANDONED}
            """  # noqa: S608 - own constants
        ),
        {"run_id": run_id, "restarts": restarts, "wait_seconds": wait_seconds},
    )
    return bool(result.rowcount)


async def note_start(
    connection: AsyncConnection,
    run_id: int,
    *,
    restarts: int,
    wait_seconds: float,
    flow_run_id: str | None = None,
    error: str | None = None,
) -> None:
    """What came of starting it: the flow run that shall continue it, or why there is none."""
    await connection.execute(
        text(
            f"""
            UPDATE sync.runs SET restarts = :restarts, error = :error,
                not_before = now() + make_interval(secs => :wait_seconds), submission = :flow_run_id
            WHERE run_id = :run_id AND {_ABANDONED}
            """  # noqa: S608 - own constants
        ),
        {
            "run_id": run_id,
            "restarts": restarts,
            "wait_seconds": wait_seconds,
            "flow_run_id": flow_run_id,
            "error": error,
        },
    )


async def look_later(connection: AsyncConnection, run_id: int, *, wait_seconds: float) -> None:
    """The flow run that shall continue it has not begun yet."""
    await connection.execute(
        text(
            f"""
            UPDATE sync.runs SET not_before = now() + make_interval(secs => :wait_seconds)
            WHERE run_id = :run_id AND {_ABANDONED}
            """  # noqa: S608 - own constants
        ),
        {"run_id": run_id, "wait_seconds": wait_seconds},
    )


async def give_up(
    connection: AsyncConnection, run_id: int, *, state: Literal["failed", "cancelled"], error: str
) -> bool:
    """It is not started again by itself any more; whoever starts it continues it. False: somebody holds it by now."""
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs
            SET state = :state, fence = fence + 1, error = :error, restarts = 0, not_before = NULL,
                submission = NULL
            WHERE run_id = :run_id AND {_ABANDONED}
            """  # noqa: S608 - own constants
        ),
        {"run_id": run_id, "state": state, "error": error},
    )
    return bool(result.rowcount)


def _abandoned(row: Row[Any]) -> AbandonedRun:
    return AbandonedRun(
        flow_run_id=row.submission or row.flow_run_id,
        restarts=row.vain,
        is_restarted=row.submission is not None,
        error=row.error,
        run=handle_of(row),
    )
