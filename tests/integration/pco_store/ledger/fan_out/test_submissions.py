"""Submissions on a real Postgres: each child in one, never too many at a time, the same key until it is answered."""

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
    give_back_children,
    insert_children,
    renew_children,
)
from pco_store.ledger.fan_out.fan_outs import complete_if_done, count_children
from pco_store.ledger.fan_out.submissions import (
    Submission,
    look_at,
    take_back_expired,
    take_pending,
    unanswered_submissions,
    waiting_flow_runs,
)
from pco_store.ledger.runs import RunHandle
from tests.integration.fan_outs import (
    MEMBERSHIPS,
    answer,
    be_due,
    children,
    claim,
    expire,
    insert,
    open_fan_out,
    rows,
    states,
    take,
    tally,
    vanish,
)

KEY = f"sync-children:grace:{MEMBERSHIPS}"


def named(submission: Submission) -> str:
    """Its key, without what was drawn for it."""
    return submission.key.partition("~")[0]


async def unanswered(store: Database, root: RunHandle) -> dict[str, tuple[str, ...]]:
    async with store.transaction() as connection:
        found = await unanswered_submissions(connection, root.run_id, older_than_seconds=0)
    return {one.key: one.scopes for one in found}


async def test_a_submission_has_the_childs_key(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 12, 13)

    submissions = await take(store, root)

    assert [(named(one), one.scopes) for one in submissions] == [(f"{KEY}:12:e", ("12",)), (f"{KEY}:13:e", ("13",))]
    assert await take(store, root) == []


async def test_a_bundle_has_its_first_childs_key_and_says_how_many_there_are(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, *range(1, 8))

    submissions = await take(store, root, per_run=3)

    assert {named(one): one.scopes for one in submissions} == {
        f"{KEY}:1:e*3": ("1", "2", "3"),
        f"{KEY}:4:e*3": ("4", "5", "6"),
        f"{KEY}:7:e": ("7",),
    }


async def test_a_bundle_holds_children_of_one_entity(store: Database) -> None:
    root = await open_fan_out(store, entity="groups.Attendance", below=("groups.Group", "groups.Event"))
    await insert(store, root, 1, 2, entity="groups.Event")
    await insert(store, root, 11, 12)
    await insert(store, root, 3, entity="groups.Event")

    submissions = await take(store, root, per_run=10)

    assert {one.entity: one.scopes for one in submissions} == {
        "groups.Event": ("1", "2", "3"),
        "groups.Attendance": ("11", "12"),
    }


async def test_a_child_that_comes_again_gets_a_flow_run_and_a_key_of_its_own(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3)
    (bundle,) = await take(store, root, per_run=3)
    await answer(store, [bundle])
    assert await vanish(store, root, bundle) == 1

    (again,) = await take(store, root, per_run=3)

    assert (named(again), again.scopes) == (f"{KEY}:1:e*3#2", bundle.scopes)


async def test_children_that_lost_their_process_come_back_in_bundles_until_one_of_them_may_be_why(
    store: Database,
) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3)
    keys = []
    for _ in range(3):
        submissions = await take(store, root, per_run=3)
        keys.append(sorted(named(one) for one in submissions))
        await expire(store, *(await claim(store, root, 1, 2, 3)).runs)
        async with store.transaction() as connection:
            await take_back_expired(connection, root.run_id, most_attempts=10)

    assert keys == [[f"{KEY}:1:e*3"], [f"{KEY}:1:e*3#2"], [f"{KEY}:1:e*3#3"]]
    alone = await take(store, root, per_run=3)
    assert sorted(named(one) for one in alone) == [f"{KEY}:1:e#4", f"{KEY}:2:e#4", f"{KEY}:3:e#4"]


async def test_a_child_that_failed_is_read_alone(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3)
    await take(store, root, per_run=3)
    first, *others = (await claim(store, root, 1, 2, 3)).runs
    async with store.transaction() as connection:
        await fail_child(connection, first, error="422", most_attempts=5, wait_seconds=0)
        await give_back_children(connection, others, stopped=False)

    assert {named(one) for one in await take(store, root, per_run=3)} == {f"{KEY}:1:e#2", f"{KEY}:2:e*2#2"}


async def test_a_child_whose_flow_runs_end_before_they_begin_it_waits_longer_each_time_and_is_dead_in_the_end(
    store: Database,
) -> None:
    """Its church's credentials are gone, say: until now a new flow run was made every few seconds, for ever."""
    root = await open_fan_out(store)
    await insert(store, root, 1)
    made = await take(store, root)
    await answer(store, made)
    assert await vanish(store, root, *made) == 1
    made = await take(store, root)
    assert [named(one) for one in made] == [f"{KEY}:1:e#2"], "the first time a worker may have died"
    await answer(store, made)
    await vanish(store, root, *made)
    assert await take(store, root) == [], "it waits"
    await be_due(store, root)
    made = await take(store, root)
    await answer(store, made)

    await vanish(store, root, *made)

    (row,) = await rows(store, "SELECT state, error FROM sync.runs WHERE scope = '1'")
    assert row.state == "dead"
    assert row.error == "3 flow runs ended before they began it, the last one: Crashed: no worker"


async def test_a_child_that_begins_has_all_its_flow_runs_again(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    for _ in range(2):
        made = await take(store, root)
        await answer(store, made)
        await vanish(store, root, *made)
        await be_due(store, root)
    (run,) = (await claim(store, root, 1)).runs
    async with store.transaction() as connection:
        await give_back_children(connection, [run], stopped=False)
    made = await take(store, root)
    await answer(store, made)

    await vanish(store, root, *made)

    assert (await states(store, root))["1"] == "pending"


async def test_a_restarted_fan_out_does_not_use_the_keys_that_prefect_remembers(store: Database) -> None:
    old = await open_fan_out(store)
    await insert(store, old, 1, 2)
    remembered = await take(store, old)

    root = await open_fan_out(store, on_conflict="restart")
    await insert(store, root, 1, 2)
    new = await take(store, root)

    assert [named(one) for one in new] == [named(one) for one in remembered]
    assert not {one.key for one in new} & {one.key for one in remembered}


async def test_a_submission_whose_maker_died_is_made_again_under_the_same_key(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3, 4)
    made = await take(store, root, per_run=2)
    assert await unanswered(store, root) == {one.key: one.scopes for one in made}

    await answer(store, made[:1])

    assert await unanswered(store, root) == {made[1].key: made[1].scopes}
    await claim(store, root, *made[1].scopes)  # Prefect has it after all
    assert await unanswered(store, root) == {}
    async with store.transaction() as connection:
        waiting = await waiting_flow_runs(connection, root.run_id, older_than_seconds=0)
    assert [(one.flow_run_id, one.run_ids) for one in waiting] == [(f"flow-run {made[0].key}", made[0].run_ids)]


async def test_what_has_begun_is_neither_taken_back_nor_given_another_flow_run(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (made,) = await take(store, root)
    await claim(store, root, 1, flow_run_id="who began it")

    await answer(store, [made])
    assert await vanish(store, root, made) == 0

    (row,) = await rows(store, "SELECT state, flow_run_id FROM sync.runs WHERE scope = '1'")
    assert tuple(row) == ("running", "who began it")


async def test_nothing_is_submitted_while_three_quarters_are_under_way(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, *range(20))
    assert len(await take(store, root, most_under_way=8)) == 8

    for scope, expected in ((0, 0), (1, 2), (2, 0)):
        (run,) = (await claim(store, root, scope)).runs
        async with store.transaction() as connection:
            await end_child(connection, run, "completed")
            outlook = await look_at(connection, root.run_id)
        assert outlook.wants_more(8) == bool(expected)
        assert len(await take(store, root, most_under_way=8)) == expected


async def test_with_a_bound_of_one_children_go_one_after_the_other(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2)

    for scope in (1, 2):
        (made,) = await take(store, root, most_under_way=1, per_run=25)
        assert (made.scopes, await take(store, root, most_under_way=1)) == ((str(scope),), [])
        (run,) = (await claim(store, root, scope)).runs
        assert await take(store, root, most_under_way=1) == []
        async with store.transaction() as connection:
            await end_child(connection, run, "completed")


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
    assert took < 20

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
    assert time.monotonic() - began < 2


async def test_a_lease_that_runs_out_is_seen(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (run,) = (await claim(store, root, 1)).runs
    await expire(store, run)

    async with store.transaction() as connection:
        outlook = await look_at(connection, root.run_id)

    assert outlook.has_expired
    assert outlook.wants_more(1)
