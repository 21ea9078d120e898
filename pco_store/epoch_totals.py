"""What a whole epoch of a church did: every sync and fan-out that was run in it, from the ledger alone."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class EntityTotals:
    """One entity in one epoch. `lists` counts the lists that were read: one, or one for each parent.

    `state` is that of its sync or its fan-out; `rows` counts a record as often as it was shown.
    """

    entity: str
    state: str
    lists: int
    pages: int
    rows: int
    new: int
    changed: int
    unchanged: int
    requests: int
    quarantined: int


async def epoch_totals(connection: AsyncConnection, *, org_id: str, epoch: str) -> list[EntityTotals]:
    """The totals by entity; those on the way to another one (events, for attendances) count with that one."""
    result = await connection.execute(
        text(
            """
            WITH head AS (
                SELECT run_id, entity, state, fan_out FROM sync.runs
                WHERE org_id = :org_id AND epoch = :epoch AND parent_run_id IS NULL AND turn IS NOT NULL
                  AND state <> 'closed' AND position('.' IN entity) > 0),
            run AS (
                SELECT head.run_id AS head_id, head.run_id, head.fan_out IS NULL AS is_list FROM head
                UNION ALL
                SELECT head.run_id, child.run_id, true FROM head
                JOIN sync.runs AS child ON child.parent_run_id = head.run_id),
            page AS (
                SELECT run.head_id, count(*) AS pages, sum(rows) AS rows, sum(new) AS new, sum(changed) AS changed,
                       sum(unchanged) AS unchanged, sum(requests) AS requests, sum(quarantined) AS quarantined
                FROM run JOIN sync.pages USING (run_id) GROUP BY run.head_id)
            SELECT head.entity, head.state,
                   (SELECT count(*) FROM run WHERE run.head_id = head.run_id AND is_list) AS lists,
                   coalesce(pages, 0) AS pages, coalesce(rows, 0) AS rows, coalesce(new, 0) AS new,
                   coalesce(changed, 0) AS changed, coalesce(unchanged, 0) AS unchanged,
                   coalesce(requests, 0) AS requests, coalesce(quarantined, 0) AS quarantined
            FROM head LEFT JOIN page ON page.head_id = head.run_id
            ORDER BY head.entity
            """
        ),
        {"org_id": org_id, "epoch": epoch},
    )
    return [
        EntityTotals(
            entity=row.entity,
            state=row.state,
            lists=row.lists,
            pages=row.pages,
            rows=int(row.rows),
            new=int(row.new),
            changed=int(row.changed),
            unchanged=int(row.unchanged),
            requests=int(row.requests),
            quarantined=int(row.quarantined),
        )
        for row in result
    ]
