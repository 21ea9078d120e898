"""A fan-out as a whole on a real Postgres: when it is complete, and how it is cancelled, restarted and continued."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.abandoned import abandoned_runs
from pco_store.ledger.fan_out.children import (
    child_key,
    claim_children,
    end_child,
    fail_child,
    insert_children,
    reopen_for_children,
    revive_children,
)
from pco_store.ledger.fan_out.fan_outs import (
    cancel_fan_out,
    complete_if_done,
    count_children,
    find_fan_out,
    mark_awaiting_children,
    unfinished_fan_outs,
)
from pco_store.ledger.leases import open_run
from pco_store.ledger.runs import RunHandle, check_fence
from tests.integration.fan_outs import (
    children,
    claim,
    commit_page,
    expire,
    fan_out_request,
    insert,
    open_fan_out,
    rows,
    states,
    take,
    wait_until_blocked,
)


async def end(store: Database, root: RunHandle, *scopes: object) -> None:
    for run in (await claim(store, root, *scopes)).runs:
        async with store.transaction() as connection:
            await end_child(connection, run, "completed")


async def await_all(store: Database, root: RunHandle) -> None:
    async with store.transaction() as connection:
        await mark_awaiting_children(connection, root)


async def is_completed(store: Database, root: RunHandle) -> bool:
    async with store.transaction() as connection:
        return await complete_if_done(connection, root.run_id)


async def state_of(store: Database, root: RunHandle) -> str:
    async with store.transaction() as connection:
        return (await count_children(connection, root.run_id)).state


async def test_it_is_complete_when_its_parents_are_read_and_its_last_child_is_done(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2)
    await end(store, root, 1)
    assert not await is_completed(store, root)
    await end(store, root, 2)
    assert not await is_completed(store, root), "more parents may come"
    await insert(store, root, 3)
    await await_all(store, root)
    assert not await is_completed(store, root)
    await take(store, root)
    assert not await is_completed(store, root)
    (last,) = (await claim(store, root, 3)).runs
    assert not await is_completed(store, root)
    async with store.transaction() as connection:
        await end_child(connection, last, "absent")

    assert await is_completed(store, root)
    assert not await is_completed(store, root), "it is told once"
    async with store.transaction() as connection:
        counts = await count_children(connection, root.run_id)
    assert (counts.children, counts.completed, counts.absent, counts.is_over) == (3, 2, 1, True)


async def test_without_parents_it_is_complete_at_once(store: Database) -> None:
    root = await open_fan_out(store)
    await await_all(store, root)

    assert await is_completed(store, root)


async def test_dead_children_do_not_keep_it_from_being_complete_and_reviving_them_opens_it_again(
    store: Database,
) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2)
    await await_all(store, root)
    await end(store, root, 1)
    (run,) = (await claim(store, root, 2)).runs
    async with store.transaction() as connection:
        assert await fail_child(connection, run, error="no", most_attempts=1, wait_seconds=0)
    assert await is_completed(store, root)

    async with store.transaction() as connection:
        assert await revive_children(connection, root.run_id) == 1

    assert await state_of(store, root) == "awaiting"
    await end(store, root, 2)
    assert await is_completed(store, root)


async def test_a_child_that_is_revived_while_the_fan_out_is_completed_is_not_forgotten(store: Database) -> None:
    """Either order of the two commits leaves a fan-out that awaits its child."""
    root = await open_fan_out(store)
    await insert(store, root, 1)
    await await_all(store, root)
    (run,) = (await claim(store, root, 1)).runs
    async with store.transaction() as connection:
        await fail_child(connection, run, error="no", most_attempts=1, wait_seconds=0)

    async with store.transaction() as connection:
        await revive_children(connection, root.run_id)
        completing = asyncio.create_task(is_completed(store, root))
        await wait_until_blocked(store, "sync.runs")
    assert not await completing
    assert await state_of(store, root) == "awaiting"

    async with store.transaction() as connection:
        await connection.execute(text("UPDATE sync.runs SET state = 'dead' WHERE scope = '1'"))
    async with store.transaction() as connection:
        assert await complete_if_done(connection, root.run_id)
        reviving = asyncio.create_task(_revive(store, root))
        await wait_until_blocked(store, "sync.runs")
    assert await reviving == 1
    assert await state_of(store, root) == "awaiting"


async def _revive(store: Database, root: RunHandle) -> int:
    async with store.transaction() as connection:
        return await revive_children(connection, root.run_id)


async def test_a_restart_closes_the_children_too_and_nothing_of_the_old_ones_can_be_written(store: Database) -> None:
    old = await open_fan_out(store)
    await insert(store, old, 1, 2, 3)
    (running,) = (await claim(store, old, 1)).runs
    await end(store, old, 2)

    root = await open_fan_out(store, on_conflict="restart")

    assert root.run_id != old.run_id
    assert root.key == old.key
    assert set((await states(store, old)).values()) == {"closed"}
    for write in (commit_page(store, running), commit_page(store, old), await_all(store, old)):
        with pytest.raises(LeaseLost):
            await write
    assert await insert(store, root, 1, 2, 3) == 3
    assert set((await states(store, root)).values()) == {"pending"}, "each is run again"


async def test_a_restart_does_not_miss_children_that_a_page_is_just_adding(store: Database) -> None:
    """Else they would keep their keys, and the new fan-out could never have them."""
    old = await open_fan_out(store, entity="groups.Attendance", below=("groups.Group", "groups.Event"))
    await insert(store, old, 1, entity="groups.Event")
    (event,) = (await claim(store, old, 1, entity="groups.Event")).runs

    async with store.transaction() as connection:
        await check_fence(connection, event)
        await insert_children(connection, children(old, 11, 12))
        restarting = asyncio.create_task(
            open_fan_out(
                store, entity="groups.Attendance", below=("groups.Group", "groups.Event"), on_conflict="restart"
            )
        )
        await wait_until_blocked(store, "sync.runs")
    root = await restarting

    assert set((await states(store, old)).values()) == {"closed"}
    assert await insert(store, root, 11, 12) == 2


async def test_a_child_cannot_be_added_by_hand_to_a_fan_out_that_is_being_closed(store: Database) -> None:
    old = await open_fan_out(store)

    async def add_by_hand() -> None:
        async with store.transaction() as connection:
            await insert_children(connection, children(old, 9))
            await reopen_for_children(connection, old.run_id)

    await open_fan_out(store, on_conflict="restart")

    with pytest.raises(LeaseLost):
        await add_by_hand()
    assert not await rows(store, "SELECT 1 FROM sync.runs WHERE scope = '9'")


async def test_a_child_that_is_added_by_hand_opens_a_complete_fan_out_again(store: Database) -> None:
    root = await open_fan_out(store)
    await await_all(store, root)
    assert await is_completed(store, root)

    async with store.transaction() as connection:
        await insert_children(connection, children(root, 9))
        await reopen_for_children(connection, root.run_id)

    assert await state_of(store, root) == "awaiting"


@pytest.mark.parametrize(("below", "expected"), [("groups.Group", "completed"), ("groups.Person", "pending")])
async def test_a_child_run_by_hand_is_taken_in_by_its_own_way_only(store: Database, below: str, expected: str) -> None:
    """It was read below group 1; a fan-out below people has a person 1, too, whose list nobody has read."""
    epoch = "2026-07"
    by_hand = replace(children(await open_fan_out(store, epoch="elsewhere"), 1), epoch=epoch, root_id=None)
    key = child_key(by_hand.org_id, by_hand.entity, epoch, "1", final_entity=by_hand.entity)
    async with store.transaction() as connection:
        await insert_children(connection, by_hand)
        claim = await claim_children(connection, [key], owner="a test", flow_run_id=None, lease_seconds=600)
        await end_child(connection, claim.runs[0], "completed")
    root = await open_fan_out(store, epoch=epoch, below=(below,))
    await insert(store, root, 1, 2)
    await insert(store, root, 1, 2)  # a page that is committed again changes nothing
    assert await states(store, root) == {"1": expected, "2": "pending"}


async def test_a_second_fan_out_of_the_epoch_is_the_same_one(store: Database) -> None:
    first = await open_fan_out(store)
    await insert(store, first, 1, 2)
    await end(store, first, 1)

    second = await open_fan_out(store)  # the first one's process is gone

    assert (second.run_id, second.fence) == (first.run_id, first.fence + 1)
    assert await insert(store, second, 1, 2, 3) == 1
    assert await states(store, second) == {"1": "completed", "2": "pending", "3": "pending"}
    with pytest.raises(LeaseLost):
        await await_all(store, first)


async def test_cancelling_stops_the_parent_and_can_be_continued(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)

    async with store.transaction() as connection:
        assert await cancel_fan_out(connection, root.run_id)
        assert not await cancel_fan_out(connection, root.run_id)
        assert (await count_children(connection, root.run_id)).is_over
        assert await unfinished_fan_outs(connection) == []

    with pytest.raises(LeaseLost):
        await await_all(store, root)
    again = await open_fan_out(store)
    assert again.run_id == root.run_id
    await await_all(store, again)
    await end(store, again, 1)
    assert await is_completed(store, again)


async def test_a_plain_sync_cannot_be_cancelled_or_counted_as_a_fan_out(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (child,) = (await claim(store, root, 1)).runs

    async with store.transaction() as connection:
        assert not await cancel_fan_out(connection, child.run_id)
        assert await find_fan_out(connection, child.key) is None
        with pytest.raises(LookupError, match="no fan-out"):
            await count_children(connection, child.run_id)


async def test_the_recovery_sees_abandoned_parents_and_fan_outs_with_children_left(store: Database) -> None:
    silent = await open_fan_out(store, epoch="silent")
    awaiting = await open_fan_out(store, epoch="awaiting")
    await insert(store, awaiting, 1)
    await await_all(store, awaiting)
    (child,) = (await claim(store, awaiting, 1)).runs
    done = await open_fan_out(store, epoch="done")
    await await_all(store, done)
    await is_completed(store, done)
    await expire(store, silent, child)

    async with store.transaction() as connection:
        abandoned = await abandoned_runs(connection)
        unfinished = await unfinished_fan_outs(connection)

    assert [one.run.key for one in abandoned] == [silent.key], "a child is its fan-out's affair"
    assert [one.key for one in unfinished] == [awaiting.key]
    assert unfinished[0].fan_out == awaiting.fan_out


async def test_many_parents_in_one_process_leave_connections_for_their_work(store: Database, store_url: str) -> None:
    """Each keeps a session as its proof of life, which must not be one of the pool's."""
    process = Database(store_url, pool_size=2)
    leases = []
    try:
        for epoch in range(5):
            _, lease = await open_run(process, fan_out_request(epoch=f"e{epoch}"))
            assert lease is not None
            leases.append(lease)
        async with asyncio.timeout(5):
            for lease in leases:
                assert await insert(process, lease.run, 1, 2) == 2
    finally:
        for lease in leases:
            await lease.release()
        await process.aclose()
