"""Fifty thousand children: written in seconds, found by indexes, and submitted once though many submit them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.fan_out.children import (
    child_key,
    claim_children,
    end_child,
    fail_child,
    insert_children,
    renew_children,
)
from pco_store.ledger.fan_out.fan_outs import complete_if_done, count_children
from pco_store.ledger.fan_out.submissions import (
    look_at,
    take_back_expired,
    take_pending,
    unanswered_submissions,
    waiting_flow_runs,
)
from tests.integration.fan_outs import (
    MEMBERSHIPS,
    children,
    claim,
    insert,
    open_fan_out,
    states,
    take,
    tally,
)


@pytest.fixture
async def crowd(store_url: str) -> AsyncIterator[list[Database]]:
    """Several processes' connections to the same ledger."""
    databases = [Database(store_url, pool_size=2) for _ in range(6)]
    yield databases
    await asyncio.gather(*(one.aclose() for one in databases))


async def test_many_callers_together_keep_the_bound_and_submit_each_child_once(
    store: Database, crowd: list[Database]
) -> None:
    root = await open_fan_out(store)
    await insert(store, root, *range(120))
    most, seen, ended = 10, Counter[str](), Counter[str]()
    chance = random.Random(3)

    async def work(database: Database) -> None:
        while ended.total() < 120:
            made = await take(database, root, per_run=chance.randint(1, 3), most_under_way=most)
            seen.update(scope for one in made for scope in one.scopes)
            counts = await tally(database, root)
            assert counts["submitted"] + counts["running"] <= most
            for submission in made:
                for run in (await claim(database, root, *submission.scopes)).runs:
                    async with database.transaction() as connection:
                        await end_child(connection, run, "completed")
                    ended[run.scope] += 1
            if not made:
                await asyncio.sleep(0.005)

    await asyncio.gather(*(work(one) for one in crowd))

    assert set(seen.values()) == set(ended.values()) == {1}
    assert len(ended) == 120
    async with store.transaction() as connection:
        assert not await complete_if_done(connection, root.run_id)  # its parents are still being read
        assert (await count_children(connection, root.run_id)).completed == 120


async def test_renewing_taking_back_and_claiming_at_once_never_deadlock(store: Database, crowd: list[Database]) -> None:
    root = await open_fan_out(store)
    await insert(store, root, *range(60))
    chance = random.Random(5)

    async def disturb(database: Database) -> None:
        for _ in range(25):
            scopes = chance.sample(range(60), 30)
            runs = list((await claim(database, root, *scopes, lease_seconds=0.02)).runs)
            chance.shuffle(runs)
            async with database.transaction() as connection:
                await renew_children(connection, runs, lease_seconds=0.02)
            async with database.transaction() as connection:
                await take_back_expired(connection, root.run_id, most_attempts=10_000)
            await take(database, root, most_under_way=60)
            for run in runs[:3]:
                try:
                    async with database.transaction() as connection:
                        await fail_child(connection, run, error="x", most_attempts=10_000, wait_seconds=0)
                except LeaseLost:
                    continue

    await asyncio.gather(*(disturb(one) for one in crowd))

    assert set(await states(store, root)) == {str(scope) for scope in range(60)}


# Size and speed: what is asked while a large fan-out runs must not read all of it.


MANY = 50_000


PAGE = 100


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that the block sends, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> None:
        seen.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def plans(database: Database, seen: list[tuple[str, Any]]) -> str:
    """How Postgres carries these statements out."""
    told = []
    for statement, parameters in seen:
        if statement.lstrip().startswith(("SELECT pg_advisory", "INSERT")):
            continue
        async with database.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            told += [row[0] for row in await raw.fetch(f"EXPLAIN {statement}", *parameters)]
    return "\n".join(told)


async def test_fifty_thousand_children_are_written_in_seconds_and_then_found_by_indexes(store: Database) -> None:
    roots = [await open_fan_out(store, epoch=epoch) for epoch in ("before", "e", "after")]
    root = roots[1]
    began = time.monotonic()
    for start in range(0, MANY, PAGE):
        async with store.transaction() as connection:
            await insert_children(connection, children(root, *range(start, start + PAGE)))
    took = time.monotonic() - began
    async with store.transaction() as connection:
        for other in (roots[0], roots[2]):  # the ledger of a church that has done this before
            await connection.execute(
                text(
                    "INSERT INTO sync.runs (org_id, entity, scope, epoch, key, state, mode, fence, owner, lease_until, "
                    "page_size, parent_run_id) SELECT org_id, entity, scope, :epoch, key || :epoch, 'completed', mode, "
                    "1, '', now(), page_size, :root FROM sync.runs WHERE parent_run_id = :source"
                ),
                {"epoch": other.epoch, "root": other.run_id, "source": root.run_id},
            )
        await connection.execute(text("ANALYZE sync.runs"))
    assert took < 120

    with statements(store) as seen:
        async with store.transaction() as connection:
            await look_at(connection, root.run_id)
            submissions = await take_pending(connection, root.run_id, per_run=25, most_under_way=1000)
            await unanswered_submissions(connection, root.run_id, older_than_seconds=0)
            await waiting_flow_runs(connection, root.run_id, older_than_seconds=0)
            await take_back_expired(connection, root.run_id, most_attempts=3)
            scopes = submissions[0].scopes
            keys = [child_key("grace", MEMBERSHIPS, "e", scope, final_entity=MEMBERSHIPS) for scope in scopes]
            claimed = await claim_children(connection, keys, owner="", flow_run_id=None, lease_seconds=60)
            await renew_children(connection, claimed.runs, lease_seconds=60)
            await end_child(connection, claimed.runs[0], "completed")
            await complete_if_done(connection, root.run_id)

    assert len(submissions) == 40
    explained = await plans(store, seen)
    assert "Seq Scan on runs" not in explained, explained
    began = time.monotonic()
    async with store.transaction() as connection:
        counts = await count_children(connection, root.run_id)
    assert (counts.children, counts.submitted + counts.running) == (MANY, 999)
    assert time.monotonic() - began < 20
