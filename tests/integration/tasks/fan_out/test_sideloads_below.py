"""What comes with owners that are listed below parents is mirrored with their lists: no list for each owner."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from pco_catalog.catalog import load_catalog
from pco_store.ledger.closings import close_run
from pco_store.ledger.fan_out.children import revive_children
from pco_store.ledger.fan_out.fan_outs import complete_if_done
from pco_store.ledger.proving.comparable import readings_below
from pco_store.ledger.run_facts import run_facts
from pco_store.ledger.runs import RunHandle
from tasks.deletions.from_a_list import Deletions
from tasks.quarantine_replay import replay_items
from tasks.reports.outcomes import LACKING, end_of
from tests.integration.whole_fan_outs import ORG, FanOutChurch, fan_out_church
from tests.likeness import differences
from tests.simulators import SimulatorProcess

ITEMS = "services.Item"
NOTES = "services.ItemNote"
KINDS = ("services.ItemAssignment", NOTES, "services.ItemTime")
PLANS = 8
OF_A_PLAN = 8
CATALOG = load_catalog()


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change: eight plans of eight items, with a note and a time each."""
    with SimulatorProcess(people=12, groups=0, volunteers=6, plans=PLANS) as simulator:
        yield simulator


@pytest.fixture
async def church(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """An empty mirror of it."""
    async with fan_out_church(world, ITEMS, database_url=database_url, redis_url=redis_url) as church:
        yield church


async def rows(church: FanOutChurch, kind: str = NOTES) -> list[dict[str, Any]]:
    entity = CATALOG.entity(kind)
    found = await church.sql(f'SELECT * FROM "{entity.schema_name}"."{entity.table_name}"')
    return [dict(row._mapping) for row in found]


async def lacks(church: FanOutChurch) -> list[str]:
    """In what the mirror of the items, and of what comes with them, differs from PCO."""
    found = await church.differences()
    for kind in KINDS:
        found += differences(church.simulator.state(kind), await rows(church, kind), CATALOG.entity(kind))
    return found


def asked_below_items(world: SimulatorProcess) -> list[str]:
    return [one["path"] for one in world.access_log() if "/items/" in one["path"]]


def item_lists(world: SimulatorProcess) -> Counter[str]:
    return Counter(one["path"] for one in world.access_log() if one["path"].endswith("/items"))


async def facts_of(church: FanOutChurch, root: RunHandle) -> Any:
    async with church.resources.database.transaction() as connection:
        return await run_facts(connection, root.run_id)


async def test_the_lists_of_the_owners_bring_all_of_it_and_no_owner_is_asked_for(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    root = await church.run("first")

    assert await lacks(church) == []
    assert asked_below_items(world) == []
    assert set(item_lists(world).values()) == {1}
    assert len(item_lists(world)) == PLANS
    for note in await rows(church):
        assert note["service_type_id"]
        assert note["plan_id"]
        assert note["item_id"]
    facts = await facts_of(church, root)
    assert {one.entity: one.rows for one in facts.members} == {kind: len(await rows(church, kind)) for kind in KINDS}
    assert await church.find_deletions(root) == Deletions()
    facts = await facts_of(church, root)
    assert {one.state for one in facts.members} == {"completed"} == {end_of(facts).outcome}
    assert {one.deletions["verdict"] for one in facts.members} == {"none"}


async def test_a_few_owners_are_compared_with_their_own_lists(church: FanOutChurch, world: SimulatorProcess) -> None:
    root = await church.run("first")
    world.reset_log()
    await church.find_deletions(root)
    asked = Counter(path.rpartition("/")[2] for path in asked_below_items(world))
    assert asked.keys() == {"item_assignments", "item_notes", "item_times"}
    assert all(1 <= count <= 4 for count in asked.values())


def lapse(world: SimulatorProcess, kind: str, **rule: Any) -> None:
    world.faults([{"kind": f"include-{kind}", "include": "item_notes", "permanent": True, **rule}])


def delete(world: SimulatorProcess, kind: str, *ids: str) -> None:
    world.churn([{"operation": "delete", "entity": kind, "id": one} for one in ids])


def notes_of(world: SimulatorProcess, *, plan: int) -> list[str]:
    """Of the items of a plan, by its place."""
    owner = world.state("services.Plan")[plan]["id"]
    items = {one["id"] for one in world.state(ITEMS) if one["relationships"]["plan"]["data"]["id"] == owner}
    return [one["id"] for one in world.state(NOTES) if one["relationships"]["item"]["data"]["id"] in items]


async def buried(church: FanOutChurch) -> set[str]:
    return {one["id"] for one in await rows(church) if one["_deleted_at"] is not None}


async def settled(church: FanOutChurch, epoch: str) -> RunHandle:
    root = await church.run(epoch)
    await church.find_deletions(root)
    return root


async def test_what_an_owner_does_not_show_in_two_full_readings_and_not_alone_gets_a_tombstone(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    await settled(church, "first")
    gone = notes_of(world, plan=2)[:2]
    delete(world, NOTES, *gone)
    await settled(church, "second")
    assert await buried(church) == set(), "it may have moved to an owner that was read before"

    root = await settled(church, "third")
    assert await buried(church) == set(gone)
    (facts,) = (one for one in (await facts_of(church, root)).members if one.entity == NOTES)
    assert facts.deletions == {"verdict": "confirmed", "missing": 2, "deleted": 2}


async def test_what_belonged_to_a_deleted_owner_goes_with_it_unasked(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    await settled(church, "first")
    item = world.state(ITEMS)[5]["id"]
    with_it = {one["id"] for one in await rows(church) if one["item_id"] == item}
    assert with_it
    delete(world, ITEMS, item)
    await settled(church, "second")
    reasons = {one["id"]: one["_deleted_reason"] for one in await rows(church) if one["_deleted_at"] is not None}
    assert reasons == dict.fromkeys(with_it, "with its owner")


async def test_a_night_knows_of_the_owners_in_the_lists_that_it_has_read_and_of_no_others(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    await settled(church, "first")
    here, elsewhere = notes_of(world, plan=1)[:2], notes_of(world, plan=3)[:2]
    delete(world, NOTES, *here, *elsewhere)
    plan = world.state("services.Plan")[1]
    scope = f"{plan['relationships']['service_type']['data']['id']}/{plan['id']}"
    world.reset_log()

    root = await church.run_due("night", scope)
    assert len(item_lists(world)) == 1
    assert asked_below_items(world) == []
    await church.find_deletions(root)
    assert await buried(church) == set(here)
    assert {one.state for one in (await facts_of(church, root)).members} == {"completed"}


async def test_what_may_not_be_read_any_more_is_not_gone_for_a_night_that_has_seen_none_of_it(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    """Planning Center lists nothing that this user may not see, and answers 404 for it, as for what is deleted."""
    await settled(church, "first")
    plan = world.state("services.Plan")[1]
    hidden = "/services/v2/service_types/*/plans/*/items/*/item_notes/*"
    world.faults(
        [
            {"kind": "include-cut", "include": "item_notes", "number": 0, "permanent": True},
            {"kind": "404", "path": hidden, "permanent": True},
        ]
    )
    root = await church.run_due("night", f"{plan['relationships']['service_type']['data']['id']}/{plan['id']}")
    world.reset_log()

    await church.find_deletions(root)

    assert asked_below_items(world), "others were asked for, too, which this night has not read"
    assert await buried(church) == set()
    (facts,) = (one for one in (await facts_of(church, root)).members if one.entity == NOTES)
    assert facts.deletions["verdict"] == "not_provable"


async def test_after_a_replay_of_a_night_what_is_missing_is_looked_for_again(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    """A night is over although a list of it is dead: what is gone from that one is found when it is read after all."""
    await settled(church, "first")
    note, item = notes_of(world, plan=1)[0], world.state(ITEMS)[0]["id"]
    plans = world.state("services.Plan")
    scopes = [f"{one['relationships']['service_type']['data']['id']}/{one['id']}" for one in plans[:2]]
    path = f"/services/v2/service_types/{scopes[1].replace('/', '/plans/')}/items"
    world.faults([{"kind": "object", "path": path, "permanent": True}])
    delete(world, NOTES, note)
    root = await church.run_due("night", *scopes)
    await church.sql(
        "UPDATE sync.runs SET state = 'dead' WHERE parent_run_id = :id AND state = 'pending'", id=root.run_id
    )
    async with church.resources.database.transaction() as connection:
        await complete_if_done(connection, root.run_id)
    assert await church.find_deletions(root) is not None
    assert await buried(church) == set()

    world.faults([])
    async with church.resources.database.transaction() as connection:
        assert await revive_children(connection, root.run_id) == 1
    await church.run_children(root)
    assert await church.find_deletions(root) is not None
    assert await buried(church) == {note}
    assert {one.state for one in (await facts_of(church, root)).members} == {"completed"}
    assert item


async def test_where_one_owner_does_not_tell_everything_its_own_list_is_read(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    item = next(one for one in world.state(ITEMS))["id"]
    lapse(world, "missing", record_id=item)
    root = await church.run("first")
    assert [path.rpartition("/items/")[2] for path in asked_below_items(world)] == [f"{item}/item_notes"]
    world.faults([])
    assert await lacks(church) == []
    assert end_of(await facts_of(church, root)).name is None


async def test_an_include_that_is_not_kept_to_is_left_for_all_lists_and_costs_no_row(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    item = world.state(ITEMS)[0]["id"]
    world.churn([{"operation": "create", "entity": NOTES, "count": 3, "relationships": {"item": item}}])
    await settled(church, "first")
    lapse(world, "cut", number=1)
    root = await settled(church, "second")

    facts = await facts_of(church, root)
    end = end_of(facts)
    assert end.name == LACKING
    assert f"{NOTES}: it did not come in full: item_notes of one record lacks" in end.reason
    assert await buried(church) == set()
    states = {one.entity: one.state for one in facts.members}
    assert states == {NOTES: "failed", "services.ItemAssignment": "completed", "services.ItemTime": "completed"}

    world.reset_log()
    await church.run("third")
    assert all("item_notes" not in one["query"] for one in world.access_log())


async def test_an_include_that_is_not_offered_any_more_is_noticed_by_the_first_page(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    lapse(world, "unknown")
    root = await settled(church, "first")
    end = end_of(await facts_of(church, root))
    assert end.name == LACKING
    assert "does not offer item_notes" in end.reason
    assert await rows(church) == []
    assert len(await rows(church, "services.ItemTime")) == PLANS * OF_A_PLAN
    dropped = await church.sql("SELECT entity FROM sync.list_traits WHERE distrusted ? 'item_notes'")
    assert [one.entity for one in dropped] == [ITEMS]


async def test_what_a_child_has_committed_is_not_asked_for_again(church: FanOutChurch, world: SimulatorProcess) -> None:
    plan = world.state("services.Plan")[0]["id"]
    world.faults([{"kind": "500", "path": f"/services/v2/service_types/*/plans/{plan}/items", "times": 3}])
    root = await church.run("first")
    assert await lacks(church) == []
    read = item_lists(world)
    assert {path for path, count in read.items() if count > 1} == {path for path in read if f"/plans/{plan}/" in path}
    ((pages,),) = await church.sql(
        "SELECT count(*) FROM sync.pages JOIN sync.runs AS run USING (run_id) WHERE run.entity = :notes", notes=NOTES
    )
    assert pages == PLANS
    assert end_of(await facts_of(church, root)).name is None


async def test_what_cannot_be_a_row_stands_aside_with_its_owner_until_a_later_reading_shows_it(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    item = next(one for one in world.state(ITEMS))
    lapse(world, "spoilt", record_id=item["id"])
    root = await settled(church, "first")
    ((entity, owner, open_still),) = await church.sql("SELECT entity, owner, resolved_at IS NULL FROM sync.quarantine")
    assert entity == NOTES
    assert owner.endswith(f"/{item['relationships']['plan']['data']['id']}/{item['id']}")
    assert open_still
    assert f"{NOTES}: 1 record is in quarantine" in end_of(await facts_of(church, root)).reason

    world.faults([])
    await church.sql("UPDATE sync.quarantine SET created_at = created_at - interval '1 minute'")
    await settled(church, "second")
    ((open_still,),) = await church.sql("SELECT resolved_at IS NULL FROM sync.quarantine")
    assert not open_still
    assert await lacks(church) == []


async def test_what_stands_aside_is_replayed_below_its_owner(church: FanOutChurch, world: SimulatorProcess) -> None:
    item = next(one for one in world.state(ITEMS))
    lapse(world, "spoilt", record_id=item["id"])
    await church.run("first")
    world.faults([])
    world.reset_log()
    replayed = await replay_items(church.resources, ORG, NOTES)
    assert (replayed.stored, replayed.still_open) == (1, 0)
    assert len(asked_below_items(world)) == 1
    assert await lacks(church) == []


async def test_a_fan_out_that_an_older_version_has_opened_stays_what_it_was(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    root = await church.run("first", meanwhile=lambda: None)
    assert root.members
    await church.sql("UPDATE sync.runs SET members = NULL WHERE run_id = :root", root=root.run_id)
    await church.sql("UPDATE sync.runs SET state = 'pending' WHERE parent_run_id = :root", root=root.run_id)
    await church.sql(
        "DELETE FROM sync.pages WHERE run_id IN (SELECT run_id FROM sync.runs WHERE parent_run_id = :root)",
        root=root.run_id,
    )
    world.reset_log()
    await church.run_children(replace(root, members=()))
    assert len(item_lists(world)) == PLANS
    assert all("include" not in one["query"] for one in world.access_log())


async def test_an_epoch_that_is_begun_again_gives_up_what_came_with_its_lists(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    root = await church.run("first")
    async with church.resources.database.transaction() as connection:
        await close_run(connection, root.run_id)
    ((open_still,),) = await church.sql("SELECT count(*) FROM sync.runs WHERE state <> 'closed'")
    assert open_still == 0
    await church.run("first")
    assert await lacks(church) == []


async def test_it_is_as_far_as_the_lists_of_its_owners_and_complete_when_these_are_settled(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    plan = world.state("services.Plan")[0]["id"]
    world.faults([{"kind": "403", "path": f"/services/v2/service_types/*/plans/{plan}/items", "permanent": True}])
    root = await church.run("first")
    (facts,) = (one for one in (await facts_of(church, root)).members if one.entity == NOTES)
    assert (facts.children - facts.completed, facts.forbidden) == (1, 1)
    assert end_of(facts).outcome == "incomplete"
    assert NOTES not in await complete_kinds(church)

    await church.find_deletions(root)
    assert NOTES in await complete_kinds(church)


async def complete_kinds(church: FanOutChurch) -> set[str]:
    async with church.resources.database.transaction() as connection:
        return {*await readings_below(connection, ORG)}
