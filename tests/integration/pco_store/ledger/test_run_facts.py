"""What the ledger shows of a fan-out: its own rows, what PCO refuses, what is missing, what Prefect is to show."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from pco_store.ledger.abandoned import abandoned_runs
from pco_store.ledger.fan_out.children import revive_children
from pco_store.ledger.fan_out.fan_outs import cancel_fan_out, complete_if_done, count_children, let_continue
from pco_store.ledger.results import list_unshown, note_unshown, show_later, was_shown
from pco_store.ledger.run_facts import RunFacts, epoch_facts, fan_out_facts, run_facts
from pco_store.ledger.runs import RunHandle
from tasks.reports.outcomes import end_of
from tests.integration.whole_fan_outs import FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

MEMBERSHIPS = "groups.Membership"
GROUPS, MEMBERS = 4, 10


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=60, groups=GROUPS) as simulator:
        yield simulator


@pytest.fixture
async def church(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """Nothing of it is mirrored yet."""
    async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
        yield church


async def facts_of(church: FanOutChurch, root: RunHandle) -> RunFacts:
    async with church.resources.database.transaction() as connection:
        return await run_facts(connection, root.run_id)


def refuse(world: SimulatorProcess, *places: int) -> None:
    """Let PCO refuse the lists of the groups at these places."""
    groups = [one["id"] for one in world.state("groups.Group")]
    paths = [f"/groups/v2/groups/{groups[place]}/memberships" for place in places]
    world.faults([{"kind": "403", "path": path, "permanent": True} for path in paths])


async def test_rows_are_the_entitys_own_and_requests_are_all(church: FanOutChurch) -> None:
    facts = await facts_of(church, await church.run("first"))
    assert (facts.rows, facts.new, facts.pages, facts.lists) == (GROUPS * MEMBERS, GROUPS * MEMBERS, GROUPS, GROUPS)
    assert facts.requests == GROUPS + 1, "and the page of their parents"
    assert end_of(facts).outcome == "completed"
    async with church.resources.database.transaction() as connection:
        assert list(await epoch_facts(connection, org_id="grace", epoch="first")) == [facts]
        assert list(await fan_out_facts(connection, "grace")) == [facts]
        assert await epoch_facts(connection, org_id="grace", epoch="another") == []


async def test_lists_that_are_refused_are_no_rows_of_their_parents(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    refuse(world, *range(GROUPS))
    facts = await facts_of(church, await church.run("first"))
    assert (facts.rows, facts.lists, facts.forbidden) == (0, 0, GROUPS)
    assert end_of(facts).outcome == "unreadable"
    assert "Forbidden" in str(facts.why)
    refuse(world, 1)
    facts = await facts_of(church, await church.run("second"))
    assert (facts.rows, facts.lists, facts.forbidden) == ((GROUPS - 1) * MEMBERS, GROUPS - 1, 1)
    end = end_of(facts)
    assert (end.outcome, end.name) == ("incomplete", "CompletedWithUnreadableLists")
    assert "1 of 4 lists" in end.reason
    assert "still to be looked for" in end.reason, "there was a fan-out before"


async def test_it_is_not_complete_before_somebody_has_looked_for_what_is_missing(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    assert end_of(await facts_of(church, await church.run("first"))).outcome == "completed", "nothing was there before"
    gone = [one["id"] for one in world.state(MEMBERSHIPS)]
    world.churn([{"operation": "delete", "entity": MEMBERSHIPS, "id": one} for one in gone])
    root = await church.run("second")

    assert end_of(await facts_of(church, root)).outcome == "spreading"
    await church.find_deletions(root)

    end = end_of(await facts_of(church, root))
    assert (end.outcome, end.name) == ("incomplete", "CompletedWithMissing")
    assert "the list is empty" in end.reason
    third = await church.run("third")
    await church.find_deletions(third, many="accept")
    assert end_of(await facts_of(church, third)).outcome == "completed"
    assert end_of(await facts_of(church, root)).outcome == "completed", "a later turn has settled it"


async def test_what_changes_after_the_flow_run_has_ended_is_noted_until_it_is_shown(church: FanOutChurch) -> None:
    root = await church.run("first")
    database = church.resources.database
    async with database.transaction() as connection:
        (completed,) = await list_unshown(connection, limit=10)
        assert (completed.run_id, completed.is_church) == (root.run_id, False)
        await note_unshown(connection, root.run_id)
        await was_shown(connection, completed)
        (again,) = await list_unshown(connection, limit=10)
        assert again.changes > completed.changes, "what was noted meanwhile is not forgotten"
        await show_later(connection, again)
        await was_shown(connection, again)
        assert await list_unshown(connection, limit=10) == []
    await church.find_deletions(root)
    async with database.transaction() as connection:
        (settled,) = await list_unshown(connection, limit=10)
        await was_shown(connection, settled)


async def test_a_cancelled_fan_out_is_continued_by_whoever_comes_first(church: FanOutChurch) -> None:
    root = await church.run("first")
    ((first,),) = await church.sql("SELECT min(run_id) FROM sync.runs WHERE parent_run_id = :id", id=root.run_id)
    await church.sql("UPDATE sync.runs SET state = 'cancelled' WHERE run_id = ANY(:ids)", ids=[root.run_id, first])
    database = church.resources.database
    async with database.transaction() as connection:
        assert await revive_children(connection, root.run_id) == 1
        assert (await run_facts(connection, root.run_id)).is_over, "nobody runs them as long as it is cancelled"
        assert await let_continue(connection, root.run_id)
        assert not await let_continue(connection, root.run_id), "it goes on already"
        assert not (await count_children(connection, root.run_id)).is_over
        assert await cancel_fan_out(connection, root.run_id)
        assert await let_continue(connection, root.run_id)
        assert not await complete_if_done(connection, root.run_id), "its parents are read to their end first"


async def test_a_fan_out_that_goes_on_again_is_not_cancelled_because_its_flow_run_was(church: FanOutChurch) -> None:
    root = await church.run("first")
    await church.sql(
        "UPDATE sync.runs SET state = 'cancelled', flow_run_id = :flow_run_id, not_before = NULL WHERE run_id = :id",
        flow_run_id=str(uuid4()),
        id=root.run_id,
    )
    async with church.resources.database.transaction() as connection:
        assert await let_continue(connection, root.run_id)
    async with church.resources.database.transaction() as connection:
        (abandoned,) = await abandoned_runs(connection)
    assert abandoned.run.run_id == root.run_id
    assert abandoned.flow_run_id is None, "the recovery looks at what a person has done to it"
