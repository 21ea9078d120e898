"""The children of a fan-out: inserted with the page that shows their parent, claimed by whoever runs them.

A child is a run of its own (`sync.runs`), pending until it is claimed; so its pages, lease and fence are those of any
run, and its key is unique whatever fan-out, flow run or person asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import chain_to
from pco_store.errors import LeaseLost
from pco_store.ledger.openings import handle_of, sync_key
from pco_store.ledger.runs import CLOSED, HAS_PAGES, HELD, IS_HELD, OURS, RunHandle, RunWindow, held, ours

ChildEnd = Literal["completed", "absent", "forbidden", "cancelled"]
"""How a child can end: read; its parent is gone (404), or not for this credential (402, 403); stopped by a person."""

STOPPED: str = "('cancelled', 'closed')"
"""States of a fan-out in which its children neither start nor go on."""

FIRST_PENDING: str = """(SELECT run_id FROM sync.runs WHERE parent_run_id = :root_id AND state = 'pending'
                         ORDER BY submissions, run_id LIMIT 1)"""
"""The child to be submitted next, or null. Only the index `runs_pending` has this order: of an EXISTS, Postgres thinks
that it will soon come across a row in the whole table, and there may be none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewChildren:
    """Children of one entity, by their scopes: the ids of their parents, outermost first, with slashes between.

    `final_entity` is what the fan-out is for, `below` the kinds of parents that lead to it, outermost first. `root_id`
    is None for children that belong to none; they are read by the shortest way.
    """

    org_id: str
    epoch: str
    final_entity: str
    below: tuple[str, ...]
    root_id: int | None
    entity: str
    scopes: tuple[str, ...]
    window: RunWindow
    page_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a claim got: the children to run, and of the others what they are doing, by scope."""

    runs: tuple[RunHandle, ...]
    others: dict[str, str]


def child_key(org_id: str, entity: str, epoch: str, scope: str, *, final_entity: str) -> str:
    """The key of a child. On the way to another entity it says so: else two fan-outs would share the child."""
    name = entity if entity == final_entity else f"{entity}>{final_entity}"
    return sync_key(org_id, name, epoch, scope)


async def insert_children(connection: AsyncConnection, new: NewChildren) -> int:
    """Insert those that are not there yet, as pending, in the transaction of their parents' page; how many.

    A child that somebody ran by hand belongs to no fan-out; it is taken in, else it would be missing there. It was read
    by the shortest way: in a fan-out by another one it would stand for a parent of another kind with the same id, so
    there it makes room.
    """
    scopes = sorted(set(new.scopes), key=lambda scope: (len(scope), scope))  # in one order, so that none deadlock
    if not scopes:
        return 0
    keys = [child_key(new.org_id, new.entity, new.epoch, scope, final_entity=new.final_entity) for scope in scopes]
    if new.root_id is not None and not _is_shortest_way(new):
        await connection.execute(
            text(
                f"UPDATE sync.runs SET {CLOSED} "  # noqa: S608 - own constant
                "WHERE key = ANY(CAST(:keys AS text[])) AND parent_run_id IS NULL"
            ),
            {"keys": keys},
        )
    result = await connection.execute(
        text(
            """
            INSERT INTO sync.runs (org_id, entity, scope, epoch, key, state, mode, fence, owner, lease_until,
                window_attribute, window_until, page_size, parent_run_id)
            SELECT :org_id, :entity, child.scope, :epoch, child.key, 'pending', 'full', 0, '', now(),
                :window_attribute, :window_until, :page_size, :root_id
            FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[])) AS child (scope, key)
            ON CONFLICT (key) DO UPDATE SET parent_run_id = EXCLUDED.parent_run_id
            WHERE runs.parent_run_id IS NULL AND EXCLUDED.parent_run_id IS NOT NULL
            """
        ),
        {
            "org_id": new.org_id,
            "entity": new.entity,
            "epoch": new.epoch,
            "window_attribute": new.window.attribute,
            "window_until": new.window.until,
            "page_size": new.page_size,
            "root_id": new.root_id,
            "scopes": scopes,
            "keys": keys,
        },
    )
    return int(result.rowcount)


def _is_shortest_way(new: NewChildren) -> bool:
    catalog = load_catalog()
    return list(new.below) == chain_to(catalog, catalog.entity(new.final_entity)).names


async def claim_children(
    connection: AsyncConnection, keys: Sequence[str], *, owner: str, flow_run_id: str | None, lease_seconds: float
) -> Claim:
    """Become the only writer of those children that nobody works on, and that are not done.

    Where the fan-out is cancelled nothing starts; what was submitted waits for somebody to continue the fan-out.
    """
    wanted = await connection.execute(
        text(
            f"""
            SELECT child.run_id, child.scope, child.state, root.state IN {STOPPED} AS is_stopped,
                   child.state IN ('pending', 'submitted')
                   OR (child.state = 'running' AND child.lease_until < now()) AS is_free
            FROM sync.runs AS child LEFT JOIN sync.runs AS root ON root.run_id = child.parent_run_id
            WHERE child.key = ANY(CAST(:keys AS text[]))
            ORDER BY child.run_id FOR UPDATE OF child
            """  # noqa: S608 - own constants
        ),
        {"keys": list(keys)},
    )
    free, stopped, others = [], [], {}
    for row in wanted:
        if row.is_free and not row.is_stopped:
            free.append(row.run_id)
        elif row.is_free:
            stopped.append(row.run_id)
            others[row.scope] = "stopped"
        else:
            others[row.scope] = row.state
    if stopped:
        await connection.execute(
            text(
                "UPDATE sync.runs SET state = 'pending' "
                "WHERE run_id = ANY(CAST(:run_ids AS bigint[])) AND state = 'submitted'"
            ),
            {"run_ids": stopped},
        )
    taken = await connection.execute(
        text(
            """
            UPDATE sync.runs
            SET state = 'running', fence = fence + 1, attempts = attempts + 1, owner = :owner, error = NULL,
                restarts = 0, flow_run_id = :flow_run_id, lease_until = now() + make_interval(secs => :lease_seconds)
            WHERE run_id = ANY(CAST(:run_ids AS bigint[])) RETURNING *
            """
        ),
        {"owner": owner, "flow_run_id": flow_run_id, "lease_seconds": lease_seconds, "run_ids": free},
    )
    runs = sorted((handle_of(row) for row in taken), key=lambda run: run.run_id)
    return Claim(runs=tuple(runs), others=others)


async def renew_children(
    connection: AsyncConnection, runs: Sequence[RunHandle], *, lease_seconds: float
) -> frozenset[int]:
    """Hold these for another `lease_seconds`; the ids of those that are still ours, and whose fan-out goes on."""
    result = await connection.execute(
        text(
            f"""
            WITH ours AS (
                SELECT child.run_id FROM sync.runs AS child
                JOIN {HELD} ON {IS_HELD.format("child")}
                WHERE child.state = 'running' AND NOT EXISTS (
                    SELECT FROM sync.runs AS root WHERE root.run_id = child.parent_run_id AND root.state IN {STOPPED})
                ORDER BY child.run_id FOR UPDATE OF child
            )
            UPDATE sync.runs AS child SET lease_until = now() + make_interval(secs => :lease_seconds)
            FROM ours WHERE child.run_id = ours.run_id RETURNING child.run_id
            """  # noqa: S608 - own constants
        ),
        {
            "lease_seconds": lease_seconds,
            **held(runs),
        },
    )
    return frozenset(result.scalars())


async def end_child(
    connection: AsyncConnection, run: RunHandle, end: ChildEnd, *, error: str | None = None, pages: int = 0
) -> None:
    """The child is done with in this epoch; safe to repeat.

    Raises `LeaseLost` when it is not ours any more, or the ledger has not all `pages` that were committed to it.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs SET state = :state, error = :error, lease_until = now(), completed_at = now()
            WHERE {OURS} AND state IN ('running', :state) AND {HAS_PAGES}
            """  # noqa: S608 - own constants
        ),
        {"state": end, "error": error, "pages": pages, **ours(run)},
    )
    if result.rowcount != 1:
        raise LeaseLost(run.key, run.fence)


async def fail_child(
    connection: AsyncConnection, run: RunHandle, *, error: str, most_attempts: int, wait_seconds: float
) -> bool:
    """Put the child back to be tried again after `wait_seconds`, or let it be dead; whether it is dead.

    Raises `LeaseLost` when it is not ours any more.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs
            SET state = CASE WHEN attempts >= :most_attempts THEN 'dead' ELSE 'pending' END, error = :error,
                lease_until = now(), not_before = now() + make_interval(secs => :wait_seconds)
            WHERE {OURS} AND state = 'running' RETURNING state
            """  # noqa: S608 - own constant
        ),
        {"most_attempts": most_attempts, "error": error, "wait_seconds": wait_seconds, **ours(run)},
    )
    state = result.scalar_one_or_none()
    if state is None:
        raise LeaseLost(run.key, run.fence)
    return bool(state == "dead")


async def give_back_children(connection: AsyncConnection, runs: Sequence[RunHandle], *, stopped: bool) -> None:
    """The process ends, which is no fault of theirs: others may run these at once; if a person `stopped` them, nobody.

    What is not ours any more stays as it is.
    """
    await connection.execute(
        text(
            f"""
            UPDATE sync.runs AS child
            SET state = :state, lease_until = now(), not_before = NULL, attempts = child.attempts - 1
            FROM {HELD} WHERE {IS_HELD.format("child")} AND child.state = 'running'
            """  # noqa: S608 - own constants
        ),
        {"state": "cancelled" if stopped else "pending", **held(runs)},
    )


async def revive_children(connection: AsyncConnection, root_id: int) -> int:
    """Dead and cancelled children of a fan-out get all their attempts again; how many those are."""
    revived = await connection.execute(
        text(
            """
            UPDATE sync.runs
            SET state = 'pending', attempts = 0, restarts = 0, not_before = NULL, error = NULL, completed_at = NULL
            WHERE parent_run_id = :root_id AND state IN ('dead', 'cancelled')
            """
        ),
        {"root_id": root_id},
    )
    if revived.rowcount:
        await reopen_for_children(connection, root_id)
    return int(revived.rowcount)


async def reopen_for_children(connection: AsyncConnection, root_id: int) -> None:
    """Children were added or revived: let a fan-out that was complete await them. Raises `LeaseLost` if it is closed.

    What was found out about missing records holds no longer: these children may show that others are gone. The row is
    locked first, as completing does: else each could miss what the other is about to commit.
    """
    root = await connection.execute(
        text("SELECT key, fence, state FROM sync.runs WHERE run_id = :id FOR UPDATE"), {"id": root_id}
    )
    key, fence, state = root.one()
    if state == "closed":
        raise LeaseLost(key, fence)
    if state == "completed":
        reopened = "completed_at = NULL, deletions = NULL, not_before = NULL, restarts = 0"
        await connection.execute(
            text(f"UPDATE sync.runs SET state = 'awaiting', {reopened} WHERE run_id = :id"),  # noqa: S608 - own words
            {"id": root_id},
        )
        await connection.execute(
            text(
                f"UPDATE sync.runs SET state = 'running', lease_until = 'infinity', {reopened} "  # noqa: S608 - own words
                "WHERE read_with = :id AND turn IS NOT NULL AND state = 'completed'"
            ),
            {"id": root_id},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadChild:
    """A child that is out of attempts, and why."""

    key: str
    entity: str
    scope: str
    attempts: int
    error: str
    flow_run_id: str | None
    since: datetime


async def list_dead(connection: AsyncConnection, org_id: str) -> list[DeadChild]:
    """The dead children of one church, oldest first."""
    result = await connection.execute(
        text(
            """
            SELECT key, entity, scope, attempts, coalesce(error, '') AS error, flow_run_id, lease_until AS since
            FROM sync.runs WHERE org_id = :org_id AND state = 'dead' ORDER BY lease_until
            """
        ),
        {"org_id": org_id},
    )
    return [_dead(row) for row in result]


def _dead(row: Row[Any]) -> DeadChild:
    return DeadChild(**row._mapping)
