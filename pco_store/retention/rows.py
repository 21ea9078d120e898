"""Proofs and resolved quarantine that are older than they live; a stretch of rows in each transaction."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

STRETCH = 2000


async def remove_proofs(connection: AsyncConnection, *, after: int, before: datetime) -> tuple[int, int | None]:
    """Of the next proofs, those made `before` then, unless none newer has the same list and method.

    How many, and after which proof to go on; None at the end.
    """
    return await _remove(
        connection,
        """
        WITH stretch AS MATERIALIZED (SELECT * FROM sync.proofs WHERE proof_id > :after ORDER BY proof_id LIMIT :limit),
        gone AS (
            DELETE FROM sync.proofs AS one USING stretch
            WHERE one.proof_id = stretch.proof_id AND one.proved_at < :before AND EXISTS (
                SELECT FROM sync.proofs AS newer WHERE newer.org_id = one.org_id AND newer.entity = one.entity
                AND newer.method = one.method AND newer.proved_at > one.proved_at)
            RETURNING one.proof_id)
        SELECT (SELECT count(*) FROM gone) AS removed, (SELECT max(proof_id) FROM stretch) AS last
        """,
        after,
        before,
    )


async def remove_resolved(connection: AsyncConnection, *, after: int, before: datetime) -> tuple[int, int | None]:
    """Of what was put into quarantine next, what left it `before` then; not while its run is unfinished.

    How many, and after which item to go on; None at the end.
    """
    return await _remove(
        connection,
        """
        WITH stretch AS MATERIALIZED (
            SELECT quarantine_id FROM sync.quarantine WHERE quarantine_id > :after ORDER BY quarantine_id LIMIT :limit),
        gone AS (
            DELETE FROM sync.quarantine AS one USING stretch
            WHERE one.quarantine_id = stretch.quarantine_id AND one.resolved_at < :before
              AND coalesce((SELECT coalesce(root.state, run.state) IN ('completed', 'closed') FROM sync.runs AS run
                            LEFT JOIN sync.runs AS root ON root.run_id = run.parent_run_id
                            WHERE run.run_id = one.run_id), true)
            RETURNING one.quarantine_id)
        SELECT (SELECT count(*) FROM gone) AS removed, (SELECT max(quarantine_id) FROM stretch) AS last
        """,
        after,
        before,
    )


async def _remove(connection: AsyncConnection, statement: str, after: int, before: datetime) -> tuple[int, int | None]:
    result = await connection.execute(text(statement), {"after": after, "before": before, "limit": STRETCH})
    row = result.one()
    return int(row.removed), row.last
