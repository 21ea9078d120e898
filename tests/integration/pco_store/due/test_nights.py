"""A church's night is planned once: whoever continues it reads the same, within what is left of the budget."""

import json
from collections.abc import Set

import pytest
from sqlalchemy import text

from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.due.budget import read_night
from pco_store.due.choosing import choose_lists
from pco_store.ledger.deletions.missing_below import reserve_requests
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import ORGANIZATION, Opened, RunRequest, handle_of
from pco_store.ledger.run_facts import run_facts
from pco_store.ledger.runs import RunHandle
from pco_walks.ways import Way, ways_of
from tasks.deletions.below_parents import affordable_records
from tasks.deletions.from_a_list import Deletions, ManyDeletions
from tasks.due.night import count_parents, plan_shares, share_now
from tasks.reports.outcomes import end_of
from tests.integration.fan_outs import NO_WINDOW, rows
from tests.integration.ledger_rows import LedgerRows, ago
from tests.integration.nights import ORG, Nights
from tests.integration.tasks.fan_out.test_deletions_below import delete, memberships_of
from tests.integration.whole_fan_outs import fan_out_church
from tests.simulators import SimulatorProcess

KINDS = ("groups.Membership", "people.ConnectedPerson")


@pytest.fixture
async def nights(store: Database) -> Nights:
    """Twenty groups, of which nobody has read a list, and as many people."""
    async with store.transaction() as connection:
        await connection.execute(text("TRUNCATE people.person, groups.group"))
    nights = Nights(store, entities=KINDS)
    await nights.add("groups.group", 1, 20)
    await nights.add("people.person", 1, 20)
    return nights


async def open_church(store: Database, epoch: str = "night") -> RunHandle:
    """The church's run of a night: opened, or taken over."""
    request = RunRequest(
        org_id=ORG,
        entity=ORGANIZATION,
        epoch=epoch,
        mode="rest",
        on_conflict="join",
        window=NO_WINDOW,
        page_size=100,
        owner="a test",
        flow_run_id=None,
        lease_seconds=600,
        plan={},
    )
    opened, lease = await open_run(store, request)
    assert isinstance(opened, Opened)
    assert lease is not None
    await lease.release()
    return opened.run


async def plan(store: Database, run: RunHandle, *, budget: int, probes: int = 0) -> dict[str, int]:
    catalog = load_catalog()
    below: list[Way] = ways_of(catalog, [catalog.entity(one) for one in KINDS], mode="rest", known=set())[1]
    async with store.transaction() as connection:
        return await plan_shares(connection, run, below, budget, probes)


async def test_rare_kinds_get_what_is_left_of_the_budget(store: Database, nights: Nights) -> None:
    await nights.refresh()
    await nights.sql("UPDATE sync.lists SET due_at = now()")
    run = await open_church(store)
    assert await plan(store, run, budget=33) == {"groups.Membership": 20, "people.ConnectedPerson": 5}


@pytest.mark.parametrize(("budget", "rest"), [(6000, 120), (1500, 100), (440, 100), (100, 25)])
async def test_a_part_of_the_budget_is_for_what_nobody_can_know_before(
    store: Database, nights: Nights, budget: int, rest: int
) -> None:
    await nights.add("people.person", 21, 6000)
    await nights.refresh()
    await nights.sql("UPDATE sync.lists SET due_at = now()")
    run = await open_church(store)
    assert sum((await plan(store, run, budget=budget)).values()) == budget - rest


async def test_what_the_lists_at_top_level_have_taken_is_part_of_the_budget(store: Database, nights: Nights) -> None:
    run = await open_church(store)
    await rows(
        store,
        "INSERT INTO sync.runs (org_id, entity, epoch, key, turn, state, mode, fence, owner, lease_until, page_size) "
        "VALUES ('grace', 'groups.Group', 'night', 'k', 1, 'running', 'full', 1, '', now(), 100)",
    )
    ((top,),) = await rows(store, "SELECT run_id FROM sync.runs WHERE entity = 'groups.Group'")
    await rows(
        store,
        'INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, stale, misfits, '
        "quarantined, requests, waited_seconds, ids, digest, fence) "
        "VALUES (:run, 1, 0, 100, 0, 0, 0, 0, 0, 0, 0, 18, 0, '{}', '', 1)",
        run=top,
    )
    assert await plan(store, run, budget=33) == {"groups.Membership": 7}


async def test_what_was_sent_beside_pages_is_part_of_the_budget(store: Database, nights: Nights) -> None:
    """What a list's own summary counts, such as records that were asked for, and what asked which products answer."""
    run = await open_church(store)
    top = await LedgerRows(store).run("groups.Group", ago(hours=1), epoch="night")
    await rows(store, "UPDATE sync.runs SET result = '{\"requests\": 15}' WHERE run_id = :id", id=top)
    assert await plan(store, run, budget=33, probes=5) == {"groups.Membership": 5}


@pytest.mark.parametrize(("spent", "is_told"), [(24, False), (25, True), (34, True)])
async def test_a_night_whose_lists_at_top_level_leave_nothing_for_those_below_parents_says_so(
    store: Database, nights: Nights, caplog: pytest.LogCaptureFixture, spent: int, *, is_told: bool
) -> None:
    """8 of the 33 are kept aside."""
    run = await open_church(store)
    assert bool(await plan(store, run, budget=33, probes=spent)) != is_told
    assert (f"took {spent} requests of the night's 33" in caplog.text) == is_told


@pytest.mark.parametrize(("sent", "left"), [(20, 5), (24, 5), (27, 2), (29, 0), (60, 0)])
async def test_what_one_kind_has_sent_beyond_its_share_is_taken_from_what_has_not_begun(
    store: Database, nights: Nights, sent: int, left: int
) -> None:
    """Half of the 8 that are kept aside may be spent without that."""
    await nights.refresh()
    await nights.sql("UPDATE sync.lists SET due_at = now()")
    run = await open_church(store)
    shares = await plan(store, run, budget=33)
    assert shares == {"groups.Membership": 20, "people.ConnectedPerson": 5}
    root = await LedgerRows(store).fan_out("groups.Membership", ago(hours=1), ["groups.Group"], epoch="night")
    told = json.dumps({"verdict": "confirmed", "missing": 1, "deleted": 1, "requests": sent})
    await rows(store, "UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE run_id = :id", told=told, id=root)
    async with store.transaction() as connection:
        now = {entity: await share_now(connection, run, entity, planned) for entity, planned in shares.items()}
    assert now == {"groups.Membership": 20, "people.ConnectedPerson": left}


async def test_a_kind_begins_while_another_one_reserves_requests(store: Database, nights: Nights) -> None:
    run = await open_church(store)
    await plan(store, run, budget=33)
    async with store.transaction() as reserving, store.transaction() as beginning:
        assert await read_night(reserving, ORG, run.epoch, is_locked=True) is not None
        await beginning.execute(text("SET LOCAL lock_timeout = '10ms'"))
        assert await share_now(beginning, run, "groups.Membership", 20) == 20


async def test_a_list_that_is_larger_than_a_night_is_read_all_the_same(store: Database, nights: Nights) -> None:
    await nights.refresh()
    await nights.sql(
        "UPDATE sync.lists SET requests = 50, last_read_at = now() - interval '200 days' "
        "WHERE scope = '7' AND entity = 'groups.Membership'"
    )
    run = await open_church(store)
    assert await plan(store, run, budget=33) == {"groups.Membership": 50}
    async with store.transaction() as connection:
        assert await share_now(connection, run, "groups.Membership", 50) == 50


async def test_a_kind_of_which_a_part_is_taken_still_reads_the_list_that_waits_longest(
    store: Database, nights: Nights
) -> None:
    """Else a list of several pages would be begun in no night in which one was beyond its plan."""
    await nights.refresh()
    await nights.sql(
        "UPDATE sync.lists SET requests = 10, last_read_at = now() - interval '200 days' "
        "WHERE scope IN ('7', '8') AND entity = 'groups.Membership'"
    )
    await nights.refresh()
    async with store.transaction() as connection:
        kind = nights.kinds[0]
        assert len(await choose_lists(connection, ORG, kind, now=nights.now, budget=9)) == 1
        assert len(await choose_lists(connection, ORG, kind, now=nights.now, budget=19)) == 1


async def test_what_a_kind_was_begun_with_is_what_it_is_still_expected_to_send(store: Database, nights: Nights) -> None:
    """It was planned with 20, and begun with less."""
    await nights.refresh()
    await nights.sql("UPDATE sync.lists SET due_at = now()")
    run = await open_church(store)
    assert await plan(store, run, budget=33) == {"groups.Membership": 20, "people.ConnectedPerson": 5}
    root = await LedgerRows(store).fan_out(
        "groups.Membership", ago(hours=1), ["groups.Group"], epoch="night", state="awaiting", verdict=None
    )
    await rows(store, "UPDATE sync.runs SET fan_out = fan_out || '{\"most_requests\": 8}' WHERE run_id = :id", id=root)
    top = await LedgerRows(store).run("groups.Group", ago(hours=1), epoch="night")
    await rows(store, "UPDATE sync.runs SET result = '{\"requests\": 16}' WHERE run_id = :id", id=top)
    async with store.transaction() as connection:
        assert await share_now(connection, run, "people.ConnectedPerson", 5) == 5


async def test_missing_records_are_asked_for_as_far_as_the_budget_goes_and_the_others_the_next_night(
    database_url: str, redis_url: str
) -> None:
    with SimulatorProcess(people=60, groups=6) as world:
        async with fan_out_church(world, KINDS[0], database_url=database_url, redis_url=redis_url) as church:
            store = church.resources.database
            await church.run("first")
            gone = [one for place in range(3) for one in memberships_of(world, place)]
            delete(world, *gone)
            lists = [one["id"] for one in world.state("groups.Group")[:3]]
            await church.sql("UPDATE sync.lists SET due_at = now(), last_read_at = NULL WHERE scope = ANY(:l)", l=lists)
            world.reset_log()
            assert await plan(store, await open_church(store), budget=40) == {KINDS[0]: 3}
            root = await church.run_due("night")
            assert await church.find_deletions(root) == Deletions(verdict="over_budget", missing=30, deleted=17)
            async with store.transaction() as connection:
                end = end_of(await run_facts(connection, root.run_id))
            assert (end.outcome, end.name) == ("incomplete", "CompletedWithMissing")
            assert end.reason.startswith("13 records are missing and not marked as deleted: the budget")
            assert len(world.access_log()) == 3 + 3 + 2 * 17 == 40
            assert len(await church.buried()) == 17

            shares = await plan(store, await open_church(store, "next night"), budget=40)
            assert shares.keys() == {KINDS[0]}, "the lists of the others are due"
            found = await church.find_deletions(await church.run_due("next night"))

            assert found == Deletions(verdict="confirmed", missing=13, deleted=13)
            assert await church.buried() == set(gone)
            assert await plan(store, await open_church(store, "the third"), budget=40) == {}


@pytest.mark.parametrize(
    ("many", "found"),
    [
        ("stop", Deletions(verdict="over_budget", missing=10)),
        ("accept", Deletions(verdict="confirmed", missing=10, deleted=10)),
    ],
)
async def test_missing_records_for_which_no_night_has_room_are_requested_if_a_person_wants_it(
    database_url: str, redis_url: str, many: ManyDeletions, found: Deletions
) -> None:
    with SimulatorProcess(people=60, groups=6) as world:
        async with fan_out_church(world, KINDS[0], database_url=database_url, redis_url=redis_url) as church:
            await church.run("first")
            delete(world, *memberships_of(world, 0))
            await plan(church.resources.database, await open_church(church.resources.database), budget=40, probes=40)
            root = await church.run_due("night", world.state("groups.Group")[0]["id"])
            assert await church.find_deletions(root, many=many) == found
            assert len(await church.buried()) == found.deleted


async def test_what_an_execution_that_was_killed_may_have_sent_is_counted_in_the_end(
    database_url: str, redis_url: str
) -> None:
    with SimulatorProcess(people=60, groups=6) as world:
        async with fan_out_church(world, KINDS[0], database_url=database_url, redis_url=redis_url) as church:
            store = church.resources.database
            await church.run("first")
            delete(world, *memberships_of(world, 0)[:2])
            await plan(store, await open_church(store), budget=200)
            root = await church.run_due("night", world.state("groups.Group")[0]["id"])
            async with store.transaction() as connection:
                await reserve_requests(connection, root.run_id, 7)
            assert await church.find_deletions(root) == Deletions(verdict="confirmed", missing=2, deleted=2)
            async with store.transaction() as connection:
                assert (await run_facts(connection, root.run_id)).sent == 1 + 7 + (3 + 2 * 2)


async def affordable(store: Database, root: int, costs: dict[str, int]) -> Set[str]:
    """The records of a fan-out of a night for which its budget has room."""
    async with store.transaction() as connection:
        row = (await connection.execute(text("SELECT * FROM sync.runs WHERE run_id = :id"), {"id": root})).one()
        return (await affordable_records(connection, handle_of(row), costs, many="stop"))[0]


@pytest.fixture
async def root(store: Database, nights: Nights) -> int:
    """A fan-out of a night that has read its lists. 20 of its 140 requests are left; 35 were kept aside."""
    run = await open_church(store)
    await plan(store, run, budget=140, probes=120)
    return await LedgerRows(store).fan_out(
        "groups.Membership", ago(hours=1), ["groups.Group"], epoch="night", verdict=None
    )


async def test_a_record_for_which_there_is_no_room_does_not_keep_cheaper_ones_waiting(
    store: Database, root: int
) -> None:
    costs = {str(one): 30 if one % 2 else 2 for one in range(16)}
    assert await affordable(store, root, costs) == {one for one in costs if costs[one] == 2}


async def test_a_record_that_costs_more_than_is_kept_aside_is_requested_alone_when_it_is_first(
    store: Database, root: int
) -> None:
    """Else it would never be."""
    assert await affordable(store, root, {"dear": 50}) == {"dear"}
    assert await affordable(store, root, {"dear": 50}) == frozenset(), "the budget is spent"


async def test_what_was_reserved_before_a_crash_counts_as_sent_and_what_was_answered_costs_nothing(
    store: Database, root: int
) -> None:
    assert await affordable(store, root, {"1": 4, "2": 4}) == {"1", "2"}
    await rows(
        store,
        "INSERT INTO sync.answers (run_id, record_id, is_absent, asked_at) VALUES (:id, '1', true, now())",
        id=root,
    )
    assert await affordable(store, root, {"1": 4, "2": 4}) == {"1", "2"}
    async with store.transaction() as connection:
        assert (await run_facts(connection, root)).sent == (3 + 8) + (3 + 4)
    assert await affordable(store, root, {"1": 4, "2": 4}) == {"1"}, "there is no room for it a third time"


async def test_a_night_that_is_continued_keeps_its_shares(store: Database, nights: Nights) -> None:
    shares = await plan(store, await open_church(store), budget=33)
    await nights.sql("UPDATE sync.lists SET last_read_at = now()")
    assert await plan(store, await open_church(store), budget=3) == shares


@pytest.mark.parametrize(("mode", "known"), [("full", {"people.Workflow": 0}), ("delta", {}), (None, {})])
async def test_a_kind_of_parents_of_which_there_are_none_is_known_once_all_were_read(
    store: Database, mode: str | None, known: dict[str, int]
) -> None:
    """Else the cards of a church without workflows would be looked for below every person."""
    if mode is not None:
        await LedgerRows(store).run("people.Workflow", ago(days=1), mode=mode)
    async with store.transaction() as connection:
        counts = await count_parents(connection, load_catalog(), ORG)
    assert {one: count for one, count in counts.items() if one == "people.Workflow"} == known
