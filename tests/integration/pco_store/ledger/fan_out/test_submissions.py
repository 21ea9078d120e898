"""Submissions on a real Postgres: each child in one, never too many at a time, the same key until it is answered."""

from pco_store.database import Database
from pco_store.ledger.fan_out.children import (
    end_child,
    fail_child,
    give_back_children,
)
from pco_store.ledger.fan_out.submissions import (
    Submission,
    cancel_submitted,
    look_at,
    take_back_expired,
    unanswered_submissions,
    waiting_flow_runs,
)
from pco_store.ledger.runs import RunHandle
from tests.integration.fan_outs import (
    MEMBERSHIPS,
    answer,
    be_due,
    claim,
    expire,
    insert,
    open_fan_out,
    rows,
    states,
    take,
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


async def test_a_child_whose_flow_run_a_person_cancelled_before_it_began_is_cancelled(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1, 2)
    one, other = await take(store, root)
    await answer(store, [one, other])
    async with store.transaction() as connection:
        await cancel_submitted(connection, root.run_id, [f"flow-run {one.key}"])
    assert await vanish(store, root, one) == 0, "nobody makes another flow run for it"
    assert await states(store, root) == {"1": "cancelled", "2": "submitted"}


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


async def test_a_lease_that_runs_out_is_seen(store: Database) -> None:
    root = await open_fan_out(store)
    await insert(store, root, 1)
    (run,) = (await claim(store, root, 1)).runs
    await expire(store, run)

    async with store.transaction() as connection:
        outlook = await look_at(connection, root.run_id)

    assert outlook.has_expired
    assert outlook.wants_more(1)
