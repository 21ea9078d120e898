"""A fan-out in the ledger, without Prefect: what tests ask of it, and what stands in it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.fan_out.children import (
    Claim,
    NewChildren,
    child_key,
    claim_children,
    insert_children,
)
from pco_store.ledger.fan_out.submissions import Submission, record_flow_runs, take_back_submitted, take_pending
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import FAN_OUT_SCOPE, ConflictPolicy, Opened, RunRequest
from pco_store.ledger.page_commit import PageOfRows
from pco_store.ledger.page_commit import commit_page as commit_rows
from pco_store.ledger.runs import FanOutPlan, PageReceipt, RunHandle, RunWindow
from pco_store.mirror.tables import mirror_table

MEMBERSHIPS = "groups.Membership"
NO_WINDOW = RunWindow(attribute=None, since=None, until=None)


def fan_out_request(
    *,
    epoch: str = "e",
    entity: str = MEMBERSHIPS,
    below: tuple[str, ...] = ("groups.Group",),
    on_conflict: ConflictPolicy = "join",
) -> RunRequest:
    """A request for a fan-out of one church."""
    return RunRequest(
        org_id="grace",
        entity=entity,
        scope=FAN_OUT_SCOPE,
        epoch=epoch,
        mode="full",
        on_conflict=on_conflict,
        window=NO_WINDOW,
        page_size=100,
        owner="a test",
        flow_run_id=None,
        lease_seconds=600,
        fan_out=FanOutPlan(below=below, groups_per_run=1, most_under_way=10),
    )


async def open_fan_out(
    database: Database,
    *,
    epoch: str = "e",
    entity: str = MEMBERSHIPS,
    below: tuple[str, ...] = ("groups.Group",),
    on_conflict: ConflictPolicy = "join",
) -> RunHandle:
    """A fan-out that is ours by its fence: opened, or continued."""
    request = fan_out_request(epoch=epoch, entity=entity, below=below, on_conflict=on_conflict)
    decision, lease = await open_run(database, request)
    assert isinstance(decision, Opened)
    assert lease is not None
    await lease.release()
    return lease.run


def children(root: RunHandle, *scopes: object, entity: str | None = None) -> NewChildren:
    """Children of a fan-out, as a page of their parents gives them."""
    assert root.fan_out is not None
    return NewChildren(
        org_id=root.org_id,
        epoch=root.epoch,
        final_entity=root.entity,
        below=root.fan_out.below,
        root_id=root.run_id,
        entity=entity or root.entity,
        scopes=tuple(str(scope) for scope in scopes),
        window=NO_WINDOW,
        page_size=100,
    )


async def insert(database: Database, root: RunHandle, *scopes: object, entity: str | None = None) -> int:
    """Insert children in a transaction of their own."""
    async with database.transaction() as connection:
        return await insert_children(connection, children(root, *scopes, entity=entity))


async def take(database: Database, root: RunHandle, *, per_run: int = 1, most_under_way: int = 10) -> list[Submission]:
    """The next submissions."""
    async with database.transaction() as connection:
        return await take_pending(connection, root.run_id, per_run=per_run, most_under_way=most_under_way)


async def answer(database: Database, submissions: Sequence[Submission]) -> None:
    """Prefect made a flow run for each of these."""
    async with database.transaction() as connection:
        await record_flow_runs(connection, [(one, f"flow-run {one.key}") for one in submissions])


async def vanish(database: Database, root: RunHandle, *submissions: Submission) -> int:
    """Their flow runs ended before they began; of how many that was noticed."""
    async with database.transaction() as connection:
        taken = await take_back_submitted(
            connection,
            root.run_id,
            {f"flow-run {one.key}": "Crashed: no worker" for one in submissions},
            most_restarts=3,
            first_wait_seconds=600,
        )
    return len(taken)


async def claim(
    database: Database,
    root: RunHandle,
    *scopes: object,
    lease_seconds: float = 600,
    entity: str | None = None,
    flow_run_id: str = "claimer",
) -> Claim:
    """Claim children of a fan-out by their scopes."""
    name = entity or root.entity
    keys = [child_key(root.org_id, name, root.epoch, str(one), final_entity=root.entity) for one in scopes]
    async with database.transaction() as connection:
        return await claim_children(
            connection, keys, owner="a test", flow_run_id=flow_run_id, lease_seconds=lease_seconds
        )


async def commit_page(database: Database, run: RunHandle, *, offset: int = 0, ids: Sequence[str] = ()) -> None:
    """A page of a run, committed under its fence. Raises `LeaseLost`."""
    receipt = PageReceipt(
        reading=1,
        offset=offset,
        page_size=100,
        rows=len(ids),
        new=len(ids),
        changed=0,
        unchanged=0,
        stale=0,
        misfits=0,
        quarantined=0,
        next_offset=None,
        total_count=len(ids),
        requests=1,
        waited_seconds=0.0,
    )
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        table = mirror_table(load_catalog().entity(run.entity))
        await commit_rows(connection, PageOfRows(run=run, table=table, rows=(), receipt=receipt, ids=ids))


async def expire(database: Database, *runs: RunHandle) -> None:
    """Let the time of these leases have passed."""
    async with database.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET lease_until = now() - interval '1 s' WHERE run_id = ANY(:ids)"),
            {"ids": [run.run_id for run in runs]},
        )


async def be_due(database: Database, root: RunHandle) -> None:
    """Let the waits of failed children be over."""
    async with database.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET not_before = NULL WHERE parent_run_id = :root"), {"root": root.run_id}
        )


async def rows(database: Database, statement: str, **values: Any) -> Sequence[Any]:
    """What a statement finds."""
    async with database.transaction() as connection:
        result = await connection.execute(text(statement), values)
        return result.all() if result.returns_rows else []


async def states(database: Database, root: RunHandle) -> dict[str, str]:
    """What the children of a fan-out are doing, by scope."""
    found = await rows(
        database, "SELECT scope, state FROM sync.runs WHERE parent_run_id = :root ORDER BY run_id", root=root.run_id
    )
    return {row.scope: row.state for row in found}


async def tally(database: Database, root: RunHandle) -> Counter[str]:
    """How many children are doing what."""
    return Counter((await states(database, root)).values())


async def wait_until_blocked(database: Database, table: str) -> None:
    """Until some session waits for a lock that another one has on a row of the table."""
    async with asyncio.timeout(10):
        while not (await rows(database, _WAITING, table=f"%{table}%"))[0].n:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


_WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :table"
