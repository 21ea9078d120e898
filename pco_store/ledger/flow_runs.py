"""The flow runs of this mirror that go on, by their processes' own word: who is silent here is dead."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def show_life(
    connection: AsyncConnection, flow_run_ids: Collection[str], *, owner: str, alive_seconds: float
) -> None:
    """They are alive now, and for so many seconds."""
    await connection.execute(
        text(
            """
            INSERT INTO sync.flow_runs (flow_run_id, owner, alive_until)
            SELECT one, :owner, now() + make_interval(secs => :seconds)
            FROM unnest(CAST(:ids AS text[])) AS one ORDER BY one
            ON CONFLICT (flow_run_id) DO UPDATE SET owner = EXCLUDED.owner, alive_until = EXCLUDED.alive_until
            """
        ),
        {"ids": sorted(flow_run_ids), "owner": owner, "seconds": alive_seconds},
    )


async def silent_flow_runs(connection: AsyncConnection, *, most: int) -> list[str]:
    """Flow runs that are over, or whose process is; longest silent first."""
    result = await connection.execute(
        text("SELECT flow_run_id FROM sync.flow_runs WHERE alive_until < now() ORDER BY alive_until LIMIT :most"),
        {"most": most},
    )
    return list(result.scalars())


async def forget_flow_runs(connection: AsyncConnection, flow_run_ids: Collection[str]) -> None:
    """Prefect knows that they are over. One that shows life again meanwhile stays."""
    await connection.execute(
        text("DELETE FROM sync.flow_runs WHERE flow_run_id = ANY(CAST(:ids AS text[])) AND alive_until < now()"),
        {"ids": sorted(flow_run_ids)},
    )
