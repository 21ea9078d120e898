"""What the ledger knows of a sync, a fan-out or a whole epoch: the facts that every verdict about them is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildCounts:
    """The children of a fan-out by what they are doing, and `state` of the fan-out itself.

    `quarantined` counts what it and its children have quarantined and nothing has resolved.
    """

    state: str
    children: int
    pending: int
    submitted: int
    running: int
    completed: int
    absent: int
    forbidden: int
    cancelled: int
    dead: int
    quarantined: int

    @property
    def is_over(self) -> bool:
        """Nothing is left to be run."""
        left = self.pending + self.submitted + self.running
        return self.state not in ("running", "awaiting") or (self.state == "awaiting" and not left)

    @property
    def done(self) -> int:
        """Children that are read, or that PCO has refused for good."""
        return self.completed + self.absent + self.forbidden


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts(ChildCounts):
    """One sync or fan-out. `rows`, `pages`, `new`, `changed`, `unchanged` are the entity's own, never its parents'.

    The children of a fan-out are counted with those on the way to its entity; `lists` are those of the entity itself
    that were read. `requests` are all that brought pages. `deletions` is what was found out about missing records: it
    `is_settled` if a later complete run could tell, or a later night what this one had no budget for; it `is_unsettled`
    while nobody has looked, and there may be some. `why` is the first error of a dead or forbidden child. `result` is
    what the run itself wrote down at its end. What is read with a list or a fan-out is as far as that is, by its
    children; `members` are the facts of those, where one list or fan-out is asked about. `dropped` says why PCO did not
    bring all of it, or what a fan-out's records lack.
    `most_requests` are those for which a fan-out of a night was begun.
    """

    run_id: int
    org_id: str
    entity: str
    epoch: str
    key: str
    mode: str
    error: str | None
    flow_run_id: str | None
    is_fan_out: bool
    deletions: Mapping[str, Any] | None
    is_settled: bool
    is_unsettled: bool
    result: Mapping[str, Any] | None
    why: str | None
    lists: int
    pages: int
    rows: int
    new: int
    changed: int
    unchanged: int
    requests: int
    dropped: str | None = None
    most_requests: int = 0
    members: tuple["RunFacts", ...] = ()

    @property
    def sent(self) -> int:
        """All requests that are written down: those that brought pages, and those beside them."""
        beside = int((self.deletions or {}).get("requests", 0))
        return max(self.requests, int((self.result or {}).get("requests", 0))) + beside


_FACTS: Final = """
    WITH head AS MATERIALIZED (
        SELECT run_id, org_id, entity, scope, epoch, key, turn, coalesce(read_with, run_id) AS spread_by,
               coalesce((SELECT list.state FROM sync.runs AS list WHERE list.run_id = run.read_with
                           AND run.state = 'running'), state) AS state,
               mode, error, flow_run_id, deletions, result, fan_out, fan_out IS NOT NULL AS is_fan_out,
               plan ->> 'dropped' AS dropped
        FROM sync.runs AS run WHERE {condition}),
    child AS (
        SELECT head.run_id, count(*) AS children,
               count(*) FILTER (WHERE child.state = 'pending') AS pending,
               count(*) FILTER (WHERE child.state = 'submitted') AS submitted,
               count(*) FILTER (WHERE child.state = 'running') AS running,
               count(*) FILTER (WHERE child.state = 'completed') AS completed,
               count(*) FILTER (WHERE child.state = 'absent') AS absent,
               count(*) FILTER (WHERE child.state = 'forbidden') AS forbidden,
               count(*) FILTER (WHERE child.state = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE child.state = 'dead') AS dead,
               count(*) FILTER (WHERE child.state = 'completed' AND child.entity = head.entity) AS lists,
               min(child.error) FILTER (WHERE child.state IN ('dead', 'forbidden')) AS why
        FROM head JOIN sync.runs AS child ON child.parent_run_id = head.spread_by GROUP BY head.run_id),
    list AS (
        SELECT run_id AS head_id, run_id, NOT is_fan_out AS is_own FROM head
        UNION ALL
        SELECT head.run_id, child.run_id, child.entity = head.entity
        FROM head JOIN sync.runs AS child ON child.parent_run_id = head.run_id),
    page AS (
        SELECT list.head_id AS run_id, sum(requests) AS requests, count(*) FILTER (WHERE is_own) AS pages,
               sum(rows) FILTER (WHERE is_own) AS rows, sum(new) FILTER (WHERE is_own) AS new,
               sum(changed) FILTER (WHERE is_own) AS changed, sum(unchanged) FILTER (WHERE is_own) AS unchanged
        FROM list JOIN sync.pages USING (run_id) GROUP BY list.head_id),
    aside AS (
        SELECT head.run_id, count(*) AS quarantined
        FROM head JOIN sync.quarantine AS item ON item.org_id = head.org_id AND item.resolved_at IS NULL
        JOIN sync.runs AS run ON run.run_id = item.run_id AND head.run_id IN (run.run_id, run.parent_run_id)
        GROUP BY head.run_id)
    SELECT head.run_id, head.org_id, head.entity, head.epoch, head.key, head.state, head.mode, head.error,
           head.flow_run_id, head.is_fan_out, head.deletions, head.result, head.dropped, child.why,
           coalesce((head.fan_out ->> 'most_requests')::int, 0) AS most_requests,
           EXISTS (SELECT FROM sync.runs AS later
                   WHERE (later.org_id, later.entity, later.scope) = (head.org_id, head.entity, head.scope)
                     AND later.turn > head.turn AND later.state = 'completed'
                     AND (later.mode = 'full'
                          OR (later.mode = 'due' AND head.deletions ->> 'verdict' = 'over_budget'))
                     AND later.deletions ->> 'verdict' IN ('none', 'confirmed')
                     AND later.fan_out -> 'below' IS NOT DISTINCT FROM head.fan_out -> 'below') AS is_settled,
           head.is_fan_out AND head.state = 'completed'
               AND coalesce(head.deletions ->> 'verdict', 'requested') = 'requested'
               AND coalesce(dead, 0) + coalesce(cancelled, 0) = 0
               AND EXISTS (SELECT FROM sync.runs AS earlier
                           WHERE (earlier.org_id, earlier.entity, earlier.scope)
                                 = (head.org_id, head.entity, head.scope)
                             AND earlier.run_id < head.run_id AND earlier.state <> 'closed'
                             AND earlier.fan_out -> 'below' = head.fan_out -> 'below') AS is_unsettled,
           coalesce(children, 0) AS children, coalesce(pending, 0) AS pending, coalesce(submitted, 0) AS submitted,
           coalesce(running, 0) AS running, coalesce(completed, 0) AS completed, coalesce(absent, 0) AS absent,
           coalesce(forbidden, 0) AS forbidden, coalesce(cancelled, 0) AS cancelled, coalesce(dead, 0) AS dead,
           CASE WHEN is_fan_out THEN coalesce(lists, 0) ELSE (head.state = 'completed')::int END AS lists,
           coalesce(pages, 0) AS pages, coalesce(rows, 0)::bigint AS rows, coalesce(new, 0)::bigint AS new,
           coalesce(changed, 0)::bigint AS changed, coalesce(unchanged, 0)::bigint AS unchanged,
           coalesce(requests, 0)::bigint AS requests, coalesce(quarantined, 0) AS quarantined
    FROM head LEFT JOIN child USING (run_id) LEFT JOIN page USING (run_id) LEFT JOIN aside USING (run_id)
    ORDER BY head.entity, head.run_id
"""


async def run_facts(connection: AsyncConnection, run_id: int) -> RunFacts:
    """The facts of one sync or fan-out. Raises `LookupError` if there is no such run."""
    result = await connection.execute(text(_FACTS.format(condition="run_id = :run_id")), {"run_id": run_id})
    row = result.one_or_none()
    if row is None:
        raise LookupError(f"the ledger has no run {run_id}")
    return await _with_members(connection, _facts(row))


def once_completed(facts: RunFacts) -> RunFacts:
    """Those of a list that is about to be completed, as they are then; its members complete with it."""
    members = tuple(once_completed(one) if one.state == "running" else one for one in facts.members)
    return replace(facts, state="completed", lists=1, members=members)


async def facts_by_key(connection: AsyncConnection, key: str) -> RunFacts | None:
    """The facts of the sync or fan-out with this key, if there is one."""
    result = await connection.execute(text(_FACTS.format(condition="key = :key")), {"key": key})
    row = result.one_or_none()
    return None if row is None else await _with_members(connection, _facts(row))


async def fan_out_facts(connection: AsyncConnection, org_id: str) -> Sequence[RunFacts]:
    """The facts of every fan-out of a church."""
    condition = "org_id = :org_id AND fan_out IS NOT NULL AND state <> 'closed'"
    result = await connection.execute(text(_FACTS.format(condition=condition)), {"org_id": org_id})
    return [await _with_members(connection, _facts(row)) for row in result.all()]


async def epoch_facts(connection: AsyncConnection, *, org_id: str, epoch: str) -> Sequence[RunFacts]:
    """The facts of every sync and fan-out of a church's epoch; the church's own run is none of them."""
    condition = (
        "org_id = :org_id AND epoch = :epoch AND parent_run_id IS NULL AND turn IS NOT NULL AND state <> 'closed' "
        "AND position('.' IN entity) > 0"
    )
    result = await connection.execute(text(_FACTS.format(condition=condition)), {"org_id": org_id, "epoch": epoch})
    return [_facts(row) for row in result]


async def _with_members(connection: AsyncConnection, facts: RunFacts) -> RunFacts:
    """Those of the kinds that are read with it, too; nothing is asked for a kind that has none."""
    if not load_catalog().sideloads.get(facts.entity):
        return facts
    condition = "run_id IN (SELECT unnest(members) FROM sync.runs WHERE run_id = :run_id)"
    result = await connection.execute(text(_FACTS.format(condition=condition)), {"run_id": facts.run_id})
    return replace(facts, members=tuple(_facts(row) for row in result))


def _facts(row: Row[Any]) -> RunFacts:
    return RunFacts(**row._mapping)
