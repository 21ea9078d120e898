"""A church's night is planned once: whoever continues it reads the same, within what is left of the budget."""

import pytest
from sqlalchemy import text

from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import ORGANIZATION, Opened, RunRequest
from pco_store.ledger.runs import RunHandle
from pco_walks.ways import Way, ways_of
from tasks.due.night import count_parents, plan_shares
from tests.integration.fan_outs import NO_WINDOW, rows
from tests.integration.ledger_rows import LedgerRows, ago
from tests.integration.nights import ORG, Nights

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


async def open_church(store: Database) -> RunHandle:
    """The church's run of the epoch `night`: opened, or taken over."""
    request = RunRequest(
        org_id=ORG,
        entity=ORGANIZATION,
        epoch="night",
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


async def plan(store: Database, run: RunHandle, *, budget: int) -> dict[str, int]:
    catalog = load_catalog()
    below: list[Way] = ways_of(catalog, [catalog.entity(one) for one in KINDS], mode="rest", known=set())[1]
    async with store.transaction() as connection:
        return await plan_shares(connection, run, below, budget)


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
