"""Runs whose holder fell silent: what the recovery looks for."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger import RunHandle
from pco_store.openings import handle_of


@dataclass(frozen=True, kw_only=True, slots=True)
class AbandonedRun:
    """A sync or fan-out that nobody works on, and the flow run that did."""

    run: RunHandle
    flow_run_id: str | None


async def abandoned_runs(connection: AsyncConnection) -> list[AbandonedRun]:
    """Syncs and fan-outs that are running by the ledger although their lease ran out, oldest first."""
    result = await connection.execute(
        text(
            """
            SELECT * FROM sync.runs
            WHERE state = 'running' AND lease_until < now() AND parent_run_id IS NULL AND turn IS NOT NULL
            ORDER BY lease_until
            """
        )
    )
    return [_abandoned(row) for row in result]


def _abandoned(row: Row[Any]) -> AbandonedRun:
    return AbandonedRun(run=handle_of(row), flow_run_id=row.flow_run_id)
