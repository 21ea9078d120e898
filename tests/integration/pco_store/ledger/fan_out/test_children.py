"""Children of a fan-out on a real Postgres: inserted with their parents' page, claimed once, ended once."""

import asyncio
from dataclasses import replace

import pytest

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.fan_out.children import (
    end_child,
    fail_child,
    give_back_children,
    insert_children,
    list_dead,
    renew_children,
    revive_children,
)
from pco_store.ledger.fan_out.fan_outs import cancel_fan_out
from pco_store.ledger.fan_out.submissions import take_back_expired
from pco_store.ledger.openings import sync_key
from pco_store.ledger.runs import RunHandle, check_fence
from tests.integration.fan_outs import (
    be_due,
    children,
    claim,
    commit_page,
    expire,
    insert,
    open_fan_out,
    rows,
    states,
    take,
)

PATIENCE = {"most_attempts": 3, "wait_seconds": 60.0}


async def taken(store: Database, root: RunHandle, *scopes: object, lease_seconds: float = 600) -> list[RunHandle]:
    """Claimed children, all of which were free."""
    claimed = await claim(store, root, *scopes, lease_seconds=lease_seconds)
    assert not claimed.others
    return list(claimed.runs)


async def take_back(store: Database, root: RunHandle, *, most_attempts: int = 10) -> list[str]:
    async with store.transaction() as connection:
        return await take_back_expired(connection, root.run_id, most_attempts=most_attempts)


async def test_children_appear_with_the_page_that_shows_their_parents_or_not_at_all(store: Database) -> None:
    root = await open_fan_out(store)

    async def die_before_the_commit() -> None:
        async with store.transaction() as connection:
            await check_fence(connection, root)
            await insert_children(connection, children(root, 1, 2))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await die_before_the_commit()

    assert await states(store, root) == {}
    assert await insert(store, root, 1, 2) == 2
    assert await states(store, root) == {"1": "pending", "2": "pending"}


async def test_a_parent_that_is_listed_twice_has_one_child(store: Database) -> None:
    root = await open_fan_out(store)

    assert await insert(store, root, 7, 8, 7) == 2
    assert await insert(store, root, 8, 9) == 1
    assert sorted(await states(store, root)) == ["7", "8", "9"]


async def test_two_pages_that_show_the_same_parents_in_another_order_do_not_deadlock(store: Database) -> None:
    root = await open_fan_out(store)

    for _ in range(10):
        inserted = await asyncio.gather(
            insert(store, root, *range(50)), insert(store, root, *reversed(range(50))), insert(store, root, 49, 0, 25)
        )
        assert sum(inserted) in (0, 50)


async def test_no_two_keys_are_alike_whatever_the_epochs_are_called() -> None:
    keys = [
        sync_key("grace", "groups.Membership", "5:e", "*"),
        sync_key("grace", "groups.Membership", "e", "5"),
        sync_key("grace", "groups.Membership", "e", "*"),
        sync_key("grace", "groups.Membership", "5:e"),
    ]
    assert len(set(keys)) == len(keys)


async def test_a_child_that_was_run_by_hand_before_is_part_of_the_fan_out(store: Database) -> None:
    root = await open_fan_out(store)
    by_hand = replace(children(root, 5, 6), root_id=None)
    async with store.transaction() as connection:
        await insert_children(connection, by_hand)
    (five,) = (await claim(store, root, 5)).runs
    async with store.transaction() as connection:
        await end_child(connection, five, "completed")

    assert await insert(store, root, 5, 6, 7) == 3

    assert await states(store, root) == {"5": "completed", "6": "pending", "7": "pending"}


async def test_of_two_that_claim_at_once_each_child_goes_to_one(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, *range(40))

    claims = await asyncio.gather(*(claim(store, root, *range(40)) for _ in range(4)))

    got = [run.scope for one in claims for run in one.runs]
    assert sorted(got, key=int) == [str(scope) for scope in range(40)]
    losers = [one for one in claims if not one.runs]
    assert all(set(one.others.values()) == {"running"} for one in losers)


async def test_a_child_that_is_done_is_not_claimed_again_in_its_epoch(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3)
    for run, end in zip(await taken(store, root, 1, 2, 3), ("completed", "absent", "forbidden"), strict=True):
        async with store.transaction() as connection:
            await end_child(connection, run, end)  # type: ignore[arg-type]

    again = await claim(store, root, 1, 2, 3)

    assert (again.runs, again.others) == ((), {"1": "completed", "2": "absent", "3": "forbidden"})
    assert await insert(store, root, 1, 2, 3) == 0


async def test_what_a_silent_holder_had_is_taken_back_and_its_late_writes_are_refused(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (late,) = await taken(store, root, 1)
    await commit_page(store, late, offset=0)
    await expire(store, late)

    assert await take_back(store, root) == ["claimer"]

    (heir,) = await taken(store, root, 1)
    with pytest.raises(LeaseLost):
        await commit_page(store, late, offset=100)
    with pytest.raises(LeaseLost):
        async with store.transaction() as connection:
            await end_child(connection, late, "completed")
    with pytest.raises(LeaseLost):
        async with store.transaction() as connection:
            await fail_child(connection, late, error="late", **PATIENCE)  # type: ignore[arg-type]
    async with store.transaction() as connection:
        await give_back_children(connection, [late], stopped=True)
        assert await renew_children(connection, [late, heir], lease_seconds=30) == {heir.run_id}
    await commit_page(store, heir, offset=100)
    async with store.transaction() as connection:
        await end_child(connection, heir, "completed")
    assert await states(store, root) == {"1": "completed"}


async def test_a_holder_that_is_late_but_was_not_taken_over_goes_on(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (late,) = await taken(store, root, 1)
    await expire(store, late)

    async with store.transaction() as connection:
        assert await renew_children(connection, [late], lease_seconds=30) == {late.run_id}

    assert await take_back(store, root) == []


async def test_a_claim_follows_a_silent_holder_by_itself(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (late,) = await taken(store, root, 1)
    assert (await claim(store, root, 1)).others == {"1": "running"}
    await expire(store, late)

    (heir,) = await taken(store, root, 1)

    assert heir.fence == late.fence + 1
    with pytest.raises(LeaseLost):
        await commit_page(store, late)


async def test_a_child_that_is_being_written_to_is_not_taken_back(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (slow,) = await taken(store, root, 1)
    await expire(store, slow)

    async with store.transaction() as connection:
        await check_fence(connection, slow)
        assert await take_back(store, root) == []

    assert await take_back(store, root) == ["claimer"]


async def test_a_child_whose_process_dies_over_and_over_is_dead_in_the_end(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    for _ in range(3):
        (run,) = await taken(store, root, 1)
        await expire(store, run)
        await take_back(store, root, most_attempts=3)

    assert await states(store, root) == {"1": "dead"}
    async with store.transaction() as connection:
        (dead,) = await list_dead(connection, "grace")
    assert (dead.scope, dead.attempts, dead.error) == ("1", 3, "its process fell silent, 3 times")


async def test_a_failed_child_waits_then_is_tried_again_then_is_dead_then_is_revived(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    for attempt in (1, 2, 3):
        (run,) = await taken(store, root, 1)
        assert run.attempts == attempt
        async with store.transaction() as connection:
            is_dead = await fail_child(connection, run, error=f"no {attempt}", **PATIENCE)  # type: ignore[arg-type]
        assert is_dead == (attempt == 3)
        assert await take(store, root) == []  # it waits, or it is dead
        await be_due(store, root)

    assert await take(store, root) == []
    async with store.transaction() as connection:
        (dead,) = await list_dead(connection, "grace")
        assert (dead.key, dead.error) == (run.key, "no 3")
        assert await list_dead(connection, "another") == []
        assert await revive_children(connection, root.run_id) == 1

    (submission,) = await take(store, root)
    assert submission.scopes == ("1",)
    (run,) = await taken(store, root, 1)
    assert run.attempts == 1


async def test_what_is_given_back_costs_no_attempt_and_can_be_claimed_at_once(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2)
    mine = await taken(store, root, 1, 2)

    async with store.transaction() as connection:
        await give_back_children(connection, mine, stopped=False)

    assert set((await states(store, root)).values()) == {"pending"}
    again = await taken(store, root, 1, 2)
    assert [(run.attempts, run.fence) for run in again] == [(1, 2), (1, 2)]
    with pytest.raises(LeaseLost):
        await commit_page(store, mine[0])


async def test_what_a_person_stopped_stays_stopped_until_it_is_replayed(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    mine = await taken(store, root, 1)
    async with store.transaction() as connection:
        await give_back_children(connection, mine, stopped=True)

    assert (await claim(store, root, 1)).others == {"1": "cancelled"}
    assert await take(store, root) == []

    async with store.transaction() as connection:
        assert await revive_children(connection, root.run_id) == 1
    assert len(await take(store, root)) == 1


async def test_the_children_of_a_cancelled_fan_out_neither_start_nor_go_on(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2, 3)
    (running,) = await taken(store, root, 1)
    (submitted,) = await take(store, root, most_under_way=2)

    async with store.transaction() as connection:
        assert await cancel_fan_out(connection, root.run_id)

    assert await take(store, root) == []
    assert (await claim(store, root, *submitted.scopes)).others == {submitted.scopes[0]: "stopped"}
    async with store.transaction() as connection:
        assert await renew_children(connection, [running], lease_seconds=30) == frozenset()
        await give_back_children(connection, [running], stopped=False)
    assert set((await states(store, root)).values()) == {"pending"}  # all wait for whoever continues it

    continued = await open_fan_out(store)
    assert continued.fence > root.fence
    assert len(await take(store, continued)) == 3


async def test_to_end_a_child_twice_changes_nothing(store: Database) -> None:
    """A commit whose answer was lost is repeated."""
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (run,) = await taken(store, root, 1)
    for _ in range(2):
        async with store.transaction() as connection:
            await end_child(connection, run, "completed")

    with pytest.raises(LeaseLost):
        async with store.transaction() as connection:
            await end_child(connection, run, "absent")
    assert await states(store, root) == {"1": "completed"}


async def test_children_on_the_way_to_different_entities_are_different_children(store: Database) -> None:
    """The events of a group are read for the events' sake, and as parents of attendances."""
    events = await open_fan_out(store, entity="groups.Event")
    attendances = await open_fan_out(store, entity="groups.Attendance", below=("groups.Group", "groups.Event"))

    assert await insert(store, events, 1) == 1
    assert await insert(store, attendances, 1, entity="groups.Event") == 1

    keys = {row.key for row in await rows(store, "SELECT key FROM sync.runs WHERE scope = '1'")}
    assert keys == {
        "sync-children:grace:groups.Event:1:e",
        "sync-children:grace:groups.Event>groups.Attendance:1:e",
    }
