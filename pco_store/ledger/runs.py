"""Runs and pages: what has been committed, by whom, and who may commit next.

Every function takes the connection of an open transaction, so that a page's rows, its checkpoint and the fence check
are one commit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.errors import LeaseLost

FinalState = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunWindow:
    """The part of a collection that a run reads; fixed when its epoch opens."""

    attribute: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FanOutPlan:
    """How a fan-out spreads; fixed when its epoch opens.

    `below` are the parents' entities, outermost first. `most_under_way` bounds the children that are submitted and not
    finished. `many_deletions` is what to do when more is missing than is likely to have been deleted: stop or accept.
    `most_requests` bounds a fan-out that reads only what is due; one that reads what a full sync has `wanted`, too, has
    no bound.
    """

    below: tuple[str, ...]
    groups_per_run: int
    most_under_way: int
    many_deletions: str = "stop"
    most_requests: int = 0
    wanted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHandle:
    """The right to write to a run, as long as `fence` is the run's.

    `fan_out` is set for a fan-out itself, `parent_run_id` for its children, `parts` once the run is read in other parts
    than the one it began with; `plan` for the run of a whole church. `members` are the runs that follow this one
    (`pco_store.ledger.members`), `read_with` is the one that a member follows.
    """

    run_id: int
    token: str
    org_id: str
    entity: str
    scope: str
    epoch: str
    key: str
    fence: int
    mode: str
    window: RunWindow
    page_size: int
    started_at: datetime
    parent_run_id: int | None = None
    fan_out: FanOutPlan | None = None
    attempts: int = 0
    parts: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    members: tuple[int, ...] = ()
    read_with: int | None = None

    @property
    def is_new(self) -> bool:
        """No earlier execution had begun it."""
        return self.fence == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReceipt:
    """What one committed page did, in numbers.

    `part` is the part of the run. Of a walk from the newest record on: `reached` says that the page shows a record from
    before the window, `seen_before` how many of its records the walk had seen on earlier pages.
    """

    reading: int
    offset: int
    page_size: int
    rows: int
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    stale: int = 0
    misfits: int = 0
    quarantined: int = 0
    next_offset: int | None
    total_count: int | None
    requests: int = 0
    waited_seconds: float = 0.0
    part: int = 0
    reached: bool = False
    seen_before: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTotals:
    """All committed pages of a run together; `distinct_ids` counts a record once however often it was seen."""

    pages: int
    rows: int
    distinct_ids: int
    new: int
    changed: int
    unchanged: int
    stale: int
    misfits: int
    quarantined: int
    requests: int
    waited_seconds: float


OURS: Final = "run_id = :run_id AND token = CAST(:token AS uuid) AND fence = :fence"
"""Whether a run is still the one that a handle was given for. After a restore its number may be another run's."""

CLOSED: Final = "state = 'closed', fence = fence + 1, key = key || '#closed-' || run_id, lease_until = now()"
"""What a run becomes that is given up: its key is free, and its holder cannot commit any more."""

HAS_PAGES: Final = "(SELECT count(*) FROM sync.pages AS page WHERE page.run_id = runs.run_id) >= :pages"
"""Whether a run has at least as many pages as were committed to it: a database that was replaced has fewer."""

RECEIPT_COLUMNS: Final = tuple(one.name for one in fields(PageReceipt))
"""A receipt as it stands in `sync.pages`."""
_RECEIPT: Final = ", ".join(f'"{name}"' for name in RECEIPT_COLUMNS)


HELD: Final = """
unnest(CAST(:run_ids AS bigint[]), CAST(:tokens AS uuid[]), CAST(:fences AS bigint[])) AS held (run_id, token, fence)
"""
IS_HELD: Final = "({0}.run_id, {0}.token, {0}.fence) = (held.run_id, held.token, held.fence)"
"""The same as `OURS` for many runs at a time."""


def held(runs: Sequence[RunHandle]) -> dict[str, Any]:
    """The values of `HELD`."""
    return {
        "run_ids": [run.run_id for run in runs],
        "tokens": [run.token for run in runs],
        "fences": [run.fence for run in runs],
    }


def ours(run: RunHandle) -> dict[str, Any]:
    """The values of `OURS`."""
    return {"run_id": run.run_id, "token": run.token, "fence": run.fence}


async def check_fence(connection: AsyncConnection, run: RunHandle) -> None:
    """Make sure that nobody took the run over, until this transaction ends. Raises `LeaseLost`."""
    result = await connection.execute(
        text(f"SELECT 1 FROM sync.runs WHERE {OURS} AND state = 'running' FOR SHARE"),  # noqa: S608 - own constant
        ours(run),
    )
    if result.scalar_one_or_none() is None:
        raise LeaseLost(run.key, run.fence)


async def page_receipt(
    connection: AsyncConnection, run: RunHandle, *, part: int, reading: int, offset: int, page_size: int
) -> PageReceipt | None:
    """The receipt of one page, if it is committed."""
    result = await connection.execute(
        text(
            f"SELECT {_RECEIPT} FROM sync.pages "  # noqa: S608 - own constant
            "WHERE run_id = :run_id AND part = :part AND reading = :reading "
            'AND "offset" = :offset AND page_size = :page_size'
        ),
        {"run_id": run.run_id, "part": part, "reading": reading, "offset": offset, "page_size": page_size},
    )
    row = result.one_or_none()
    return None if row is None else _receipt(row)


async def committed_pages(connection: AsyncConnection, run: RunHandle) -> list[PageReceipt]:
    """All receipts of a run, in the order of their commits."""
    result = await connection.execute(
        text(
            f"SELECT {_RECEIPT} FROM sync.pages "  # noqa: S608 - own constant
            "WHERE run_id = :run_id ORDER BY committed_at"
        ),
        {"run_id": run.run_id},
    )
    return [_receipt(row) for row in result]


async def seen_ids(connection: AsyncConnection, run: RunHandle, part: int) -> set[str]:
    """The records on the proven pages of a part that is read from the newest record on (`pco_walks.newest_first`)."""
    result = await connection.execute(
        text(
            "SELECT DISTINCT unnest(ids) FROM sync.pages "
            'WHERE run_id = :run_id AND part = :part AND ("offset" = 0 OR seen_before > 0)'
        ),
        {"run_id": run.run_id, "part": part},
    )
    return set(result.scalars())


async def save_window(connection: AsyncConnection, run: RunHandle, until: datetime) -> None:
    """The run's window ends then, whoever continues it. Raises `LeaseLost`."""
    await check_fence(connection, run)
    await connection.execute(
        text("UPDATE sync.runs SET window_until = :until WHERE run_id = :run_id"),
        {"until": until, "run_id": run.run_id},
    )


async def save_parts(connection: AsyncConnection, run: RunHandle, parts: Mapping[str, Any]) -> None:
    """From now on the run is read in these parts, whoever continues it. Raises `LeaseLost`."""
    await check_fence(connection, run)
    await connection.execute(
        text("UPDATE sync.runs SET parts = CAST(:parts AS jsonb) WHERE run_id = :run_id"),
        {"parts": json.dumps(parts), "run_id": run.run_id},
    )


async def run_totals(connection: AsyncConnection, run: RunHandle) -> RunTotals:
    """The sums over a run's committed pages."""
    result = await connection.execute(
        text(
            """
            SELECT count(*) AS pages, coalesce(sum(rows), 0) AS rows,
                   (SELECT count(DISTINCT id) FROM sync.pages AS p, unnest(p.ids) AS id WHERE p.run_id = :run_id)
                       AS distinct_ids,
                   coalesce(sum(new), 0) AS new, coalesce(sum(changed), 0) AS changed,
                   coalesce(sum(unchanged), 0) AS unchanged, coalesce(sum(stale), 0) AS stale,
                   coalesce(sum(misfits), 0) AS misfits, coalesce(sum(quarantined), 0) AS quarantined,
                   coalesce(sum(requests), 0) AS requests, coalesce(sum(waited_seconds), 0) AS waited_seconds
            FROM sync.pages WHERE run_id = :run_id
            """
        ),
        {"run_id": run.run_id},
    )
    return RunTotals(**{name: _number(value) for name, value in result.one()._mapping.items()})


async def shown_elsewhere(connection: AsyncConnection, run: RunHandle, part: int) -> tuple[int | None, int]:
    """Where the part last showed a record, if anywhere, and how many of its pages were quarantined as a whole."""
    result = await connection.execute(
        text(
            """
            SELECT (array_agg("offset" ORDER BY committed_at DESC) FILTER (WHERE rows > 0))[1] AS place,
                   count(DISTINCT "offset") FILTER (WHERE quarantined = page_size AND rows = 0) AS aside
            FROM sync.pages WHERE run_id = :run_id AND part = :part
            """
        ),
        {"run_id": run.run_id, "part": part},
    )
    row = result.one()
    return row.place, row.aside


async def finish_run(
    connection: AsyncConnection,
    run: RunHandle,
    state: FinalState,
    *,
    error: str | None = None,
    pages: int = 0,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Close the run in this state; its members complete with it. Safe to repeat.

    `result` is the run's own summary, for those who join it later. Raises `LeaseLost` when it is not ours any more, or
    the ledger has not all `pages` that were committed to it.
    """
    finished = await connection.execute(
        text(
            f"""
            WITH finished AS (
                UPDATE sync.runs
                SET state = :state, error = :error, lease_until = now(),
                    completed_at = CASE WHEN :state = 'completed' THEN now() END,
                    result = coalesce(CAST(:result AS jsonb), result)
                WHERE {OURS} AND state IN ('running', :state) AND {HAS_PAGES}
                RETURNING run_id, state, members),
            followed AS (
                UPDATE sync.runs AS member SET state = 'completed', lease_until = now(), completed_at = now()
                FROM finished
                WHERE member.run_id = ANY(finished.members) AND member.state = 'running'
                  AND finished.state = 'completed')
            SELECT run_id FROM finished
            """  # noqa: S608 - own constants
        ),
        {
            "state": state,
            "error": error,
            "pages": pages,
            "result": None if result is None else json.dumps(dict(result)),
            **ours(run),
        },
    )
    if finished.one_or_none() is None:
        raise LeaseLost(run.key, run.fence)


async def abandon_run(connection: AsyncConnection, run: RunHandle) -> None:
    """Let anybody continue the run at once: its process has to go. What is not ours any more stays as it is."""
    await connection.execute(
        text(f"UPDATE sync.runs SET lease_until = now() WHERE {OURS} AND state = 'running'"),  # noqa: S608 - own constant
        ours(run),
    )


def _receipt(row: Row[Any]) -> PageReceipt:
    return PageReceipt(**row._mapping)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, float) else int(value)
