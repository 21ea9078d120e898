"""A night reads some lists: what they do not show any more is gone, and of all others nothing is concluded."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import chain_to, chains_to
from pco_store.database import Database
from pco_store.due.lists import count_unnamed, due_kind, due_kind_of, refresh_lists
from pco_store.due.missing import forget_read_links, known_records, missing_from_read_lists
from pco_store.ledger.deletions.missing_below import settle
from pco_store.mirror.links import insert_links, shared_list, unlist
from tasks.deletions.from_a_list import Deletions
from tasks.fan_out.from_mirror import insert_from_mirror, reads_from_mirror
from tests.integration.fan_outs import claim, commit_page, insert, open_fan_out, rows, states
from tests.integration.mirror import at
from tests.integration.tasks.fan_out.test_deletions_below import GROUPS, MEMBERSHIPS, delete, memberships_of, move
from tests.integration.whole_fan_outs import FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

TAG = load_catalog().entity("groups.Tag")
TAGS_OF_A_GROUP = chain_to(load_catalog(), TAG, ["groups.Group"]).levels[-1]


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=60, groups=GROUPS) as simulator:
        yield simulator


@pytest.fixture
async def church(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """Its memberships, mirrored once."""
    async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
        await church.run("first")
        world.reset_log()
        yield church


def group(world: SimulatorProcess, place: int) -> str:
    """The id of a group."""
    return str(world.state("groups.Group")[place]["id"])


def lists_read(world: SimulatorProcess) -> list[str]:
    """The paths of the lists that were requested."""
    return [one["path"] for one in world.access_log() if "per_page" in one["query"]]


async def test_a_complete_fan_out_has_read_all_lists_and_none_is_due(church: FanOutChurch) -> None:
    kept = await church.sql("SELECT scope, last_read_at, requests, due_at > now() AS waits FROM sync.lists")
    assert len(kept) == GROUPS
    assert all(row.last_read_at is not None and row.requests == 1 and row.waits for row in kept)
    assert await states(church.resources.database, await church.run_due("night")) == {}


async def test_only_what_is_due_is_read_and_no_parent_is_listed(church: FanOutChurch, world: SimulatorProcess) -> None:
    root = await church.run_due("night", group(world, 1), group(world, 4))
    assert sorted(lists_read(world)) == sorted(
        f"/groups/v2/groups/{group(world, place)}/memberships" for place in (1, 4)
    )
    assert await church.find_deletions(root) == Deletions()
    ((due,),) = await church.sql("SELECT count(*) FROM sync.lists WHERE due_at <= now()")
    assert due == 0


async def test_a_list_for_which_the_budget_has_no_room_is_not_begun(
    world: SimulatorProcess, database_url: str, redis_url: str
) -> None:
    """A list takes four requests. The budget ends in the third one, of which no page is read."""
    async with fan_out_church(
        world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url, page_size=4
    ) as church:
        await church.run("first")
        assert [tuple(row) for row in await church.sql("SELECT DISTINCT requests FROM sync.lists")] == [(4,)]
        delete(world, *(memberships_of(world, place)[0] for place in range(4)))
        world.reset_log()

        root = await church.run_due("night", *(group(world, place) for place in range(4)), most_requests=9)

        read = Counter(lists_read(world))
        assert sorted(read.values()) == [4, 4]
        ((due,),) = await church.sql("SELECT count(*) FROM sync.lists WHERE due_at <= now()")
        assert due == 2
        assert await church.find_deletions(root) == Deletions(verdict="confirmed", missing=2, deleted=2)

        world.reset_log()
        await church.find_deletions(await church.run_due("next night", most_requests=9))
        assert read.keys().isdisjoint(lists_read(world))
        assert await church.differences() == []


async def test_what_is_gone_from_a_list_that_was_read_gets_its_tombstone_and_what_was_not_read_is_left_alone(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    here, elsewhere = memberships_of(world, 0)[:2], memberships_of(world, 3)[:1]
    delete(world, *here, *elsewhere)
    root = await church.run_due("night", group(world, 0))

    found = await church.find_deletions(root)

    assert found == Deletions(verdict="confirmed", missing=2, deleted=2)
    assert await church.buried() == set(here)

    await church.find_deletions(await church.run_due("next night", group(world, 3)))
    assert await church.buried() == {*here, *elsewhere}
    assert await church.differences() == []


async def test_a_record_that_moved_to_a_list_that_was_not_read_is_found_where_its_row_names_another_list(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    """A membership stands in the list of its person, too."""
    moved = memberships_of(world, 0)[0]
    move(world, moved, group(world, 5))
    root = await church.run_due("night", group(world, 0))

    found = await church.find_deletions(root)

    assert found is not None
    assert (found.missing, found.deleted) == (1, 0)
    assert await church.buried() == set()
    await church.find_deletions(await church.run_due("next night", group(world, 5)))
    assert await church.differences() == []


async def test_a_record_that_moved_to_a_list_that_was_not_read_and_stands_in_no_other_is_lifted_by_that_list_s_turn(
    world: SimulatorProcess, database_url: str, redis_url: str
) -> None:
    """Nobody can ask for it anywhere else: ADR 21 names what that costs."""
    entity = "people.WorkflowStep"
    async with fan_out_church(world, entity, database_url=database_url, redis_url=redis_url) as church:
        await church.find_deletions(await church.run("first"))
        moved = world.state(entity)[0]
        before = moved["relationships"]["workflow"]["data"]["id"]
        there = next(one["id"] for one in world.state("people.Workflow") if one["id"] != before)
        world.churn([{"operation": "edit", "entity": entity, "id": moved["id"], "relationships": {"workflow": there}}])

        await church.find_deletions(await church.run_due("night", before))
        assert await church.buried() == {moved["id"]}

        await church.find_deletions(await church.run_due("next night", there))
        assert await church.buried() == set()
        assert await church.differences() == []


@pytest.mark.parametrize(("source", "target"), [(0, 5), (5, 0)])
async def test_a_record_that_moves_between_two_lists_while_both_are_read_lives(
    church: FanOutChurch, world: SimulatorProcess, source: int, target: int
) -> None:
    moved = memberships_of(world, source)[0]
    there = {"entity": MEMBERSHIPS, "id": moved, "relationships": {"group": group(world, target)}}
    world.churn([{"operation": "edit", "after_request": world.stats()["requests"] + 1, **there}])
    root = await church.run_due("night", group(world, 0), group(world, 5))
    assert moved in memberships_of(world, target), "it has moved after the first request"
    await church.find_deletions(root)
    assert await church.buried() == set()
    await church.find_deletions(await church.run_due("next night", group(world, source), group(world, target)))
    assert await church.differences() == []


async def test_the_last_member_that_leaves_is_gone_though_no_list_of_the_night_shows_a_witness(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    gone = memberships_of(world, 2)
    delete(world, *gone)
    root = await church.run_due("night", group(world, 2))

    found = await church.find_deletions(root)

    assert found is not None
    assert (found.verdict, found.deleted) == ("confirmed", len(gone))
    assert await church.buried() == set(gone)


async def test_with_a_parent_that_is_gone_its_records_are_and_its_list_is_forgotten(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    gone, parent = memberships_of(world, 2), group(world, 2)
    delete(world, parent, entity="groups.Group")
    await church.sql("UPDATE groups.group SET _deleted_at = now() WHERE id = :id", id=parent)
    root = await church.run_due("night")
    assert await states(church.resources.database, root) == {parent: "absent"}

    await church.find_deletions(root)

    assert await church.buried() == set(gone)
    ((kept,),) = await church.sql("SELECT count(*) FROM sync.lists")
    assert kept == GROUPS - 1


async def test_a_list_that_cannot_be_read_keeps_no_other_from_being_settled(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    gone = memberships_of(world, 0)[:1]
    delete(world, *gone)
    root = await church.run_due("night", group(world, 0), group(world, 1))
    await church.sql(
        "UPDATE sync.runs SET state = 'dead' WHERE parent_run_id = :root AND scope = :scope",
        root=root.run_id,
        scope=group(world, 1),
    )
    await church.find_deletions(root)
    assert await church.buried() == set(gone)


async def due_scopes(church: FanOutChurch) -> set[str]:
    """The lists that are due by now."""
    async with church.resources.database.transaction() as connection:
        await refresh_lists(connection, "grace", due_kind_of(church.chain))
    return {row.scope for row in await church.sql("SELECT scope FROM sync.lists WHERE due_at <= now()")}


@pytest.mark.parametrize("is_merged", [False, True], ids=["lists that lost many", "lists of parents that are gone"])
async def test_many_that_are_missing_are_missed_every_night_until_somebody_decides(
    database_url: str, redis_url: str, is_merged: bool
) -> None:
    with SimulatorProcess(people=60, groups=12) as world:
        async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
            await church.run("first")
            gone = [one for place in range(6) for one in memberships_of(world, place)]
            lost, (kept,) = {group(world, place) for place in range(6)}, {group(world, 6)}
            delete(world, *gone)
            if is_merged:
                delete(world, *lost, entity="groups.Group")
                await church.sql(
                    "UPDATE groups.group SET _deleted_at = now(), _deleted_reason = 'merged into ' || :kept "
                    "WHERE id = ANY(:lost)",
                    lost=list(lost),
                    kept=kept,
                )
            for night in ("night", "next night"):
                root = await church.run_due(night, *(lost if night == "night" else ()))
                found = await church.find_deletions(root)
                assert found is not None
                assert (found.verdict, found.missing) == ("too_many", 60)
                assert set(await states(church.resources.database, root)) == lost
                assert await due_scopes(church) == lost
            assert await church.buried() == set()

            found = await church.find_deletions(await church.run_due("decided"), many="accept")

            assert found == Deletions(verdict="confirmed", missing=60, deleted=60)
            assert await church.buried() == set(gone)
            assert await due_scopes(church) == set()


@pytest.mark.parametrize("lost", [2, 52], ids=["few others", "too many others"])
async def test_what_stood_below_deleted_parents_goes_with_them_unasked_however_many_they_are(
    database_url: str, redis_url: str, lost: int
) -> None:
    with SimulatorProcess(people=60, groups=16) as world:
        async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as church:
            await church.run("first")
            parents, living = ([group(world, place) for place in places] for places in (range(6), range(6, 16)))
            below = [one for place in range(6) for one in memberships_of(world, place)]
            others = [one for place in range(6, 16) for one in memberships_of(world, place)][:lost]
            delete(world, *parents, entity="groups.Group")
            delete(world, *others)
            await church.sql(
                "UPDATE groups.group SET _deleted_at = now(), _deleted_reason = 'absent' WHERE id = ANY(:ids)",
                ids=parents,
            )
            root = await church.run_due("night", *living)
            world.reset_log()

            found = await church.find_deletions(root)

            assert len(below) == 60
            assert found is not None
            assert found.missing == 60 + lost
            assert {row["_deleted_reason"] for row in await church.rows() if row["id"] in below} == {"with its owner"}
            if lost == 2:
                assert (found.verdict, found.deleted) == ("confirmed", 62)
                assert len(world.access_log()) == 2 * 2 + 3
            else:
                assert (found.verdict, found.deleted) == ("too_many", 60)
                assert found.unsettled is not None
                assert found.unsettled.startswith("52 records are missing")
                assert world.access_log() == []


async def test_what_came_with_the_records_of_a_list_keeps_it_due_until_somebody_decides(
    database_url: str, redis_url: str
) -> None:
    with SimulatorProcess(people=12, groups=0, volunteers=6, plans=8) as world:
        async with fan_out_church(world, "services.Item", database_url=database_url, redis_url=redis_url) as church:
            await church.find_deletions(await church.run("first"))
            notes = [one["id"] for one in world.state("services.ItemNote")]
            assert len(notes) > 60
            delete(world, *notes[:60], entity="services.ItemNote")
            everything = {row.scope for row in await church.sql("SELECT scope FROM sync.lists")}
            await church.find_deletions(await church.run_due("night", *everything))
            of_notes = "SELECT deletions FROM sync.runs WHERE epoch = 'night' AND entity = 'services.ItemNote'"
            ((told,),) = await church.sql(f"{of_notes} AND deletions IS NOT NULL")
            assert (told["verdict"], told["missing"]) == ("too_many", 60)
            due = await due_scopes(church)
            assert 0 < len(due) <= len(everything)

            await church.find_deletions(await church.run_due("decided"), many="accept")

            gone = await church.sql("SELECT id FROM services.item_note WHERE _deleted_at IS NOT NULL")
            assert {row.id for row in gone} == set(notes[:60])
            assert await due_scopes(church) == set()


async def test_what_was_chosen_before_a_crash_is_not_chosen_again(
    church: FanOutChurch, world: SimulatorProcess
) -> None:
    root = await church.run_due("night", group(world, 0))
    await church.sql("UPDATE sync.lists SET last_read_at = last_read_at - interval '100 days'")
    await church.sql("UPDATE sync.runs SET state = 'cancelled' WHERE run_id = :root", root=root.run_id)
    await church.run_due("night")
    assert len(lists_read(world)) == 1


@pytest.mark.parametrize(("verdict", "due"), [("too_many", {"1", "2", "3"}), ("not_provable", {"2", "3"})])
async def test_what_nobody_can_decide_keeps_the_lists_of_parents_due_that_are_gone_and_no_others(
    store: Database, verdict: str, due: set[str]
) -> None:
    """The other list misses it again in its next turn; that of a parent that is gone has none. The third one is kept
    due for what came with its records.
    """
    root = await open_fan_out(store, epoch="night")
    await rows(store, "TRUNCATE groups.membership")
    await rows(
        store,
        "INSERT INTO groups.membership (org_id, id, group_id, _synced_at, _epoch, _content_hash) "
        "SELECT 'grace', id, id, '2026-01-01', 'e', '' FROM unnest(ARRAY['1', '2', '3']) AS id",
    )
    await insert(store, root, "1", "2", "3")
    await rows(store, "UPDATE sync.runs SET state = CASE scope WHEN '2' THEN 'absent' ELSE 'completed' END")
    await rows(store, "UPDATE sync.runs SET mode = 'due' WHERE run_id = :id", id=root.run_id)
    level = chain_to(load_catalog(), load_catalog().entity(MEMBERSHIPS), None).levels[-1]
    async with store.transaction() as connection:
        night = replace(root, mode="due")
        await settle(connection, night, level, verdict=verdict, missing=2, undecided=["1", "2"], kept_due={"3"})
    assert {row.scope for row in await rows(store, "SELECT scope FROM sync.lists")} == due


async def read_tags(store: Database, group: str, *shown: str, epoch: str) -> int:
    """A fan-out that reads the tags of one group; its run."""
    root = await open_fan_out(store, epoch=epoch, entity=TAG.name)
    await insert(store, root, group)
    (run,) = (await claim(store, root, group)).runs
    await commit_page(store, run, ids=shown)
    async with store.transaction() as connection:
        tags = shared_list(TAG, TAGS_OF_A_GROUP.path, org_id="grace", scope=group)
        assert tags is not None
        await unlist(connection, run.run_id, tags)
    await rows(store, "UPDATE sync.runs SET state = 'completed' WHERE run_id = :id", id=run.run_id)
    return root.run_id


async def missing_tags(store: Database, root_id: int) -> tuple[str, ...]:
    async with store.transaction() as connection:
        return await missing_from_read_lists(connection, "grace", root_id, TAGS_OF_A_GROUP, began_at=at(3600))


async def test_a_record_that_two_owners_share_is_missing_when_neither_list_shows_it(store: Database) -> None:
    """The list of the other owner was not read tonight: it may still show the record."""
    await rows(
        store,
        "INSERT INTO groups.tag (org_id, id, _synced_at, _epoch, _content_hash) "
        "SELECT 'grace', id, '2026-01-01', 'e', '' FROM unnest(ARRAY['alone', 'shared', 'shown']) AS id",
    )
    async with store.transaction() as connection:
        for group, ids in (("1", ["alone", "shared", "shown"]), ("2", ["shared"])):
            tags = shared_list(TAG, TAGS_OF_A_GROUP.path, org_id="grace", scope=group)
            assert tags is not None
            await insert_links(connection, ids, tags, at(0))

    first = await read_tags(store, "1", "shown", epoch="night")
    assert await missing_tags(store, first) == ("alone",)
    async with store.transaction() as connection:
        await forget_read_links(connection, "grace", first, TAGS_OF_A_GROUP, besides=("alone",))
    assert await missing_tags(store, first) == ("alone",), "nobody has decided about it"
    async with store.transaction() as connection:
        await forget_read_links(connection, "grace", first, TAGS_OF_A_GROUP)
        assert await known_records(connection, "grace", TAGS_OF_A_GROUP, besides=("shown",)) == (("2", "shared"),)
    left = await rows(store, "SELECT scope, id FROM sync.links ORDER BY scope, id")
    assert [tuple(row) for row in left] == [("1", "shown"), ("2", "shared")]

    second = await read_tags(store, "2", epoch="next night")
    assert await missing_tags(store, second) == ("shared",)


async def test_what_two_owners_share_lives_as_long_as_one_of_them_does(store: Database) -> None:
    await rows(
        store,
        "INSERT INTO groups.tag (org_id, id, _synced_at, _epoch, _content_hash) "
        "SELECT 'grace', id, '2026-01-01', 'e', '' FROM unnest(ARRAY['alone', 'shared']) AS id",
    )
    async with store.transaction() as connection:
        for group, ids in (("1", ["alone", "shared"]), ("2", ["shared"])):
            tags = shared_list(TAG, TAGS_OF_A_GROUP.path, org_id="grace", scope=group)
            assert tags is not None
            await insert_links(connection, ids, tags, at(0))
    root = await open_fan_out(store, epoch="night", entity=TAG.name)
    await insert(store, root, "1")
    await rows(store, "UPDATE sync.runs SET state = 'absent' WHERE scope = '1'")
    assert await missing_tags(store, root.run_id) == ("alone",)


NOTES = "people.WorkflowCardNote"
CARDS = "people.WorkflowCard"
PARENTS = chain_to(load_catalog(), load_catalog().entity(NOTES), None)


async def are_taken_from_the_mirror(store: Database, *, epoch: str = "e") -> bool:
    """Whether the notes of cards would be read below the cards in the mirror."""
    root = await open_fan_out(store, epoch=epoch, entity=NOTES, below=tuple(PARENTS.names))
    async with store.transaction() as connection:
        return await reads_from_mirror(connection, root, PARENTS)


async def complete(store: Database, run_id: int) -> None:
    await rows(store, "UPDATE sync.runs SET state = 'completed' WHERE run_id = :id", id=run_id)


async def test_parents_that_were_read_in_this_epoch_are_taken_from_the_mirror(store: Database) -> None:
    """The cards were read below their workflows, which tells all that the way below people does."""
    assert not await are_taken_from_the_mirror(store)
    cards = await open_fan_out(store, epoch="e", entity=CARDS, below=("people.Workflow",))
    assert not await are_taken_from_the_mirror(store), "they are still read"
    await complete(store, cards.run_id)
    assert await are_taken_from_the_mirror(store)
    assert not await are_taken_from_the_mirror(store, epoch="another")


async def test_parents_of_which_one_does_not_know_its_own_parents_are_listed_again(store: Database) -> None:
    await complete(store, (await open_fan_out(store, epoch="e", entity=CARDS, below=("people.Workflow",))).run_id)
    await rows(
        store,
        "INSERT INTO people.workflow_card (org_id, id, _synced_at, _epoch, _content_hash) "
        "VALUES ('grace', '8', now(), 'e', '')",
    )
    assert not await are_taken_from_the_mirror(store)


async def test_parents_of_which_some_could_not_be_read_are_listed_again(store: Database) -> None:
    cards = await open_fan_out(store, epoch="e", entity=CARDS, below=("people.Workflow",))
    await insert(store, cards, "1")
    await rows(store, "UPDATE sync.runs SET state = 'forbidden' WHERE scope = '1'")
    await complete(store, cards.run_id)
    assert not await are_taken_from_the_mirror(store)


async def test_a_fan_out_that_has_begun_to_read_its_parents_goes_on_with_it(store: Database) -> None:
    notes = await open_fan_out(store, epoch="e", entity=NOTES, below=tuple(PARENTS.names))
    await commit_page(store, notes, ids=["1"])
    await complete(store, (await open_fan_out(store, epoch="e", entity=CARDS, below=("people.Workflow",))).run_id)
    assert not await are_taken_from_the_mirror(store)


async def test_a_note_is_listed_below_each_card_that_exists_by_the_person_in_the_card_s_row(store: Database) -> None:
    await rows(
        store,
        "INSERT INTO people.workflow_card (org_id, id, person_id, _synced_at, _epoch, _content_hash) "
        "VALUES ('grace', '7', '70', now(), 'e', ''), ('grace', '8', NULL, now(), 'e', '')",
    )
    root = await open_fan_out(store, epoch="e", entity=NOTES, below=tuple(PARENTS.names))
    async with store.transaction() as connection:
        assert await insert_from_mirror(connection, root, PARENTS) == 1
    assert await states(store, root) == {"70/7": "pending"}


async def test_the_statements_fit_every_kind_below_every_chain_of_parents(store: Database) -> None:
    """They are made from the catalogue; here nothing is found, but Postgres has read each of them."""
    catalog = load_catalog()
    kinds = [one for one in catalog.entities() if one.list_path is None]
    levels = {chain.levels[-1].path: chain.levels[-1] for one in kinds for chain in chains_to(catalog, one)}
    assert len(levels) > len(kinds)
    async with store.transaction() as connection:
        for level in levels.values():
            assert await refresh_lists(connection, "nobody", due_kind(level)) == 0
            assert await count_unnamed(connection, "nobody", due_kind(level)) == 0
            assert await missing_from_read_lists(connection, "nobody", 1, level, began_at=at(0)) == ()
            assert await known_records(connection, "nobody", level, besides=()) == ()
            await forget_read_links(connection, "nobody", 1, level)
