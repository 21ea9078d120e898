"""What was deleted below a parent gets its tombstone, once for each fan-out, and never because of what was not read."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from pco_store.due.lists import due_kind_of, refresh_lists
from pco_store.ledger.deletions.missing_below import reserve_requests, settled_deletions, unsettled_fan_outs
from pco_store.ledger.fan_out.children import revive_children
from pco_store.ledger.fan_out.fan_outs import complete_if_done
from pco_store.ledger.run_facts import run_facts
from tasks.deletions.from_a_list import Deletions
from tasks.reports.outcomes import end_of
from tests.integration.fan_outs import insert, open_fan_out, states
from tests.integration.whole_fan_outs import ORG, FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

MEMBERSHIPS = "groups.Membership"
GROUPS = 6
MEMBERS = 10


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=60, groups=GROUPS) as simulator:
        yield simulator


@pytest.fixture
async def church(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """Its memberships, mirrored once."""
    async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
        root = await church.run("first")
        assert await church.find_deletions(root) == Deletions()
        assert len(await church.rows()) == GROUPS * MEMBERS
        world.reset_log()
        yield church


def memberships_of(world: SimulatorProcess, group: int) -> list[str]:
    """The memberships of a group, by its place."""
    groups = [one["id"] for one in world.state("groups.Group")]
    found = world.state(MEMBERSHIPS)
    return [one["id"] for one in found if one["relationships"]["group"]["data"]["id"] == groups[group]]


def delete(world: SimulatorProcess, *ids: str, entity: str = MEMBERSHIPS) -> None:
    world.churn([{"operation": "delete", "entity": entity, "id": one} for one in ids])


def move(world: SimulatorProcess, one: str, group: str) -> None:
    world.churn([{"operation": "edit", "entity": MEMBERSHIPS, "id": one, "relationships": {"group": group}}])


async def test_what_is_gone_from_every_list_gets_a_tombstone(church: FanOutChurch, world: SimulatorProcess) -> None:
    gone = memberships_of(world, 0)[:2] + memberships_of(world, 3)[:1]
    delete(world, *gone)
    root = await church.run("second")
    world.reset_log()

    found = await church.find_deletions(root)

    assert found == Deletions(verdict="confirmed", missing=3, deleted=3)
    assert len(world.access_log()) == 3 * 2 + 3
    assert await church.buried() == set(gone)
    assert await church.differences() == []


async def test_it_is_found_out_once_for_each_fan_out(church: FanOutChurch, world: SimulatorProcess) -> None:
    delete(world, *memberships_of(world, 0)[:1])
    root = await church.run("second")
    await church.find_deletions(root)
    world.reset_log()

    again = await church.find_deletions(root)

    assert again == Deletions(verdict="confirmed", missing=1, deleted=1)
    assert world.access_log() == []


async def test_what_moved_to_another_parent_is_not_missing(church: FanOutChurch, world: SimulatorProcess) -> None:
    moved = memberships_of(world, 0)[0]
    groups = [one["id"] for one in world.state("groups.Group")]
    move(world, moved, groups[5])

    root = await church.run("second")

    assert await church.find_deletions(root) == Deletions()
    assert await church.differences() == []


async def test_what_moves_while_it_is_read_and_is_in_no_list_is_shown_when_asked_for(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    """It comes back to its first parent, after this one was read and before the other one is."""
    moved = memberships_of(world, 0)[0]
    groups = [one["id"] for one in world.state("groups.Group")]
    move(world, moved, groups[5])
    root = await church.run("second", meanwhile=lambda: None)
    await church.sql("UPDATE sync.pages SET ids = array_remove(ids, :id)", id=moved)
    await church.sql(
        "UPDATE sync.pages SET ids = ids || CAST(:id AS text) FROM sync.runs AS run WHERE run.run_id = pages.run_id "
        "AND run.epoch = 'first' AND run.scope = :scope",
        id=moved,
        scope=groups[0],
    )
    await church.sql("UPDATE groups.membership SET _synced_at = '2026-01-01' WHERE id = :id", id=moved)
    move(world, moved, groups[0])

    found = await church.find_deletions(root)

    assert found is not None
    assert (found.verdict, found.missing, found.deleted) == ("confirmed", 1, 0)
    assert await church.buried() == set()


async def test_with_a_parent_its_records_are_gone(church: FanOutChurch, world: SimulatorProcess) -> None:
    gone = memberships_of(world, 2)
    delete(world, world.state("groups.Group")[2]["id"], entity="groups.Group")

    root = await church.run("second")
    found = await church.find_deletions(root)

    assert found is not None
    assert (found.verdict, found.deleted) == ("confirmed", MEMBERS)
    assert await church.buried() == set(gone)


async def test_a_parent_that_is_deleted_while_it_is_read_has_no_list(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    gone = memberships_of(world, 2)
    group = world.state("groups.Group")[2]["id"]

    root = await church.run("second", meanwhile=lambda: delete(world, group, entity="groups.Group"))

    await church.find_deletions(root)
    assert await church.buried() == set(gone)


async def test_where_a_parent_may_not_be_read_nothing_is_deleted(church: FanOutChurch, world: SimulatorProcess) -> None:
    group = world.state("groups.Group")[1]["id"]
    world.faults([{"kind": "403", "path": f"/groups/v2/groups/{group}/memberships", "permanent": True}])
    delete(world, *memberships_of(world, 0)[:1])

    root = await church.run("second")
    found = await church.find_deletions(root)

    assert found is not None
    assert found.verdict == "parents_unread"
    assert found.unsettled is not None
    assert await church.buried() == set()


async def test_as_long_as_a_child_is_dead_nobody_can_tell(church: FanOutChurch, world: SimulatorProcess) -> None:
    gone = memberships_of(world, 0)[:1]
    delete(world, *gone)
    root = await church.run("second")
    await church.sql(
        "UPDATE sync.runs SET state = 'dead' "
        "WHERE run_id = (SELECT min(run_id) FROM sync.runs WHERE parent_run_id = :id)",
        id=root.run_id,
    )
    assert await church.find_deletions(root) is None

    async with church.resources.database.transaction() as connection:
        await revive_children(connection, root.run_id)
    await church.run_children(root)

    assert await church.find_deletions(root) == Deletions(verdict="confirmed", missing=1, deleted=1)
    assert await church.buried() == set(gone)


async def test_many_wait_for_somebody_to_decide(database_url: str, redis_url: str) -> None:
    with SimulatorProcess(people=60, groups=12) as world:
        async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
            await church.run("first")
            delete(world, *(one["id"] for one in world.state(MEMBERSHIPS)[:60]))
            second = await church.run("second")
            found = await church.find_deletions(second)
            assert found is not None
            assert (found.verdict, found.missing) == ("too_many", 60)
            assert await church.buried() == set()

            third = await church.run("third")
            found = await church.find_deletions(third, many="accept")

            assert found is not None
            assert (found.verdict, found.deleted) == ("confirmed", 60)
            assert await church.differences() == []


async def test_what_comes_back_is_alive_again(church: FanOutChurch, world: SimulatorProcess) -> None:
    gone = memberships_of(world, 0)[:1]
    delete(world, *gone)
    await church.find_deletions(await church.run("second"))
    world.churn([{"operation": "restore", "entity": MEMBERSHIPS, "id": gone[0]}])

    await church.find_deletions(await church.run("third"))

    assert await church.buried() == set()
    assert await church.differences() == []


async def test_rows_of_which_nobody_knows_the_parent_are_reported_and_left_alone(church: FanOutChurch) -> None:
    """Another way to the same records, or one that was run by hand, may show what this one does not."""
    await church.sql(
        "INSERT INTO groups.membership (org_id, id, _synced_at, _epoch, _content_hash) "
        "VALUES ('grace', '1', '2026-01-01', 'by hand', '')"
    )
    root = await church.run("second")
    assert await church.find_deletions(root) == Deletions(unplaced=1)
    assert await church.buried() == set()
    assert await church.find_deletions(root) == Deletions(unplaced=1), "what was found out is told again"


async def test_after_a_day_nobody_looks_any_more_and_the_end_says_so_until_somebody_does(church: FanOutChurch) -> None:
    root = await church.run("second")
    await church.sql(f"UPDATE sync.runs SET completed_at = now() - interval '25 hours' WHERE run_id = {root.run_id}")
    async with church.resources.database.transaction() as connection:
        await connection.execute(text("DELETE FROM sync.unshown"))
        assert await unsettled_fan_outs(connection) == []
        assert await unsettled_fan_outs(connection) == []
        end = end_of(await run_facts(connection, root.run_id))
        assert (end.outcome, end.name) == ("incomplete", "CompletedWithMissing")
        noted = await connection.execute(text("SELECT run_id, changes FROM sync.unshown"))
        assert noted.all() == [(root.run_id, 1)], "Prefect is to show it, once"
    await church.find_deletions(root)
    async with church.resources.database.transaction() as connection:
        assert end_of(await run_facts(connection, root.run_id)).outcome == "completed"


async def without_its_group(church: FanOutChurch, world: SimulatorProcess) -> tuple[str, set[str]]:
    """A group that is gone, as its list at top level has told, and its memberships."""
    gone, parent = set(memberships_of(world, 2)), str(world.state("groups.Group")[2]["id"])
    delete(world, parent, entity="groups.Group")
    await church.sql("UPDATE groups.group SET _deleted_at = now() WHERE id = :id", id=parent)
    async with church.resources.database.transaction() as connection:
        await refresh_lists(connection, ORG, due_kind_of(church.chain))
    return parent, gone


async def test_what_stood_below_a_parent_that_is_gone_is_found_by_the_night_after_one_that_was_cancelled(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    parent, gone = await without_its_group(church, world)
    database = church.resources.database
    cancelled = await open_fan_out(database, epoch="cancelled", below=tuple(church.chain.names))
    await insert(database, cancelled, parent)
    await church.sql("UPDATE sync.runs SET state = 'absent' WHERE parent_run_id = :id", id=cancelled.run_id)
    await church.sql("UPDATE sync.runs SET state = 'cancelled', mode = 'due' WHERE run_id = :id", id=cancelled.run_id)

    await church.find_deletions(await church.run_due("night"))

    assert await church.buried() == gone


async def test_what_stood_below_a_parent_that_is_gone_is_found_by_the_night_after_one_that_was_given_up(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    parent, gone = await without_its_group(church, world)
    given_up = await church.run_due("given up")
    assert await states(church.resources.database, given_up) == {parent: "absent"}
    await church.sql(
        "UPDATE sync.runs SET completed_at = now() - interval '25 hours' WHERE run_id = :id", id=given_up.run_id
    )
    async with church.resources.database.transaction() as connection:
        assert await unsettled_fan_outs(connection) == []

    await church.find_deletions(await church.run_due("night"))

    assert await church.buried() == gone


async def test_the_recovery_finds_a_fan_out_of_which_nobody_has_looked_and_asks_once(church: FanOutChurch) -> None:
    root = await church.run("second")
    async with church.resources.database.transaction() as connection:
        assert await unsettled_fan_outs(connection) == [], "whoever waits for it has a moment to begin"
    await let_recovery_wait_no_longer(church, root.run_id)
    async with church.resources.database.transaction() as connection:
        await reserve_requests(connection, root.run_id, 7)
        found = await unsettled_fan_outs(connection)
        assert [one.run_id for one in found] == [root.run_id], "the first of its kind has nothing to find"
        assert await unsettled_fan_outs(connection) == []
        assert await settled_deletions(connection, root.run_id) is None
        facts = await run_facts(connection, root.run_id)
        assert facts.deletions == {"verdict": "requested", "requests": 7}, "what is reserved stays so"
        assert not await complete_if_done(connection, root.run_id)
    assert await church.find_deletions(root) == Deletions()
    async with church.resources.database.transaction() as connection:
        assert await settled_deletions(connection, root.run_id) == {"verdict": "none", "missing": 0, "deleted": 0}


async def let_recovery_wait_no_longer(church: FanOutChurch, root_id: int) -> None:
    await church.sql("UPDATE sync.runs SET not_before = now() - interval '1 s' WHERE run_id = :id", id=root_id)


async def test_the_recovery_leaves_a_fan_out_alone_while_somebody_asks_for_its_records(
    church: FanOutChurch, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.deletions.below_parents.ASKING_SECONDS", 0.04)
    delete(world, *memberships_of(world, 0)[:1])
    root = await church.run("second")
    await let_recovery_wait_no_longer(church, root.run_id)
    world.latency(1000)

    asking = asyncio.create_task(church.find_deletions(root))
    for _ in range(2):  # when it has begun, and while it goes on
        while not await church.sql(
            "SELECT run_id FROM sync.runs WHERE run_id = :id AND not_before > now()", id=root.run_id
        ):
            assert not asking.done()
            await asyncio.sleep(0.01)
        async with church.resources.database.transaction() as connection:
            assert await unsettled_fan_outs(connection) == []
        await let_recovery_wait_no_longer(church, root.run_id)
    found = await asking
    assert found is not None
    assert found.deleted == 1


async def test_what_moved_to_the_parent_that_its_own_was_merged_into_is_looked_for_there(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    """As with people. The night that finds the old parent gone does not read the other one's list."""
    first, second, last = (one["id"] for one in world.state("groups.Group")[:3])
    moved, *left = memberships_of(world, 0)
    move(world, moved, last)
    delete(world, *left)
    delete(world, first, entity="groups.Group")
    for gone, kept in ((first, second), (second, last)):
        await church.sql(
            "UPDATE groups.group SET _deleted_at = now(), _deleted_reason = 'merged into ' || :kept WHERE id = :gone",
            gone=gone,
            kept=kept,
        )
    root = await church.run_due("night", first)
    await church.find_deletions(root)
    assert {one["id"] for one in await church.rows() if one["_deleted_at"]} == set(left)
