"""What is over goes from the ledger, and nothing that anybody reads: freshness, deletions and deltas are as before."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from benchmarks.days import install_clock, move_clock
from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import load_due_rules
from pco_store.database import Database
from pco_store.freshness.reading import read_tables
from pco_store.ledger.deletions.missing import shown_before
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened, open_new
from pco_store.ledger.runs import finish_run
from pco_store.retention import removing, turns
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.removing import Removed, remove_what_is_over
from tests.databases import opened
from tests.integration.ledger_rows import ORG, LedgerRows, ago
from tests.integration.requests import run_request

PEOPLE, GROUPS, MEMBERSHIPS, DONATIONS = "people.Person", "groups.Group", "groups.Membership", "giving.Donation"
TABLES = (
    "sync.runs, sync.pages, sync.watermarks, sync.lists, sync.quarantine, sync.proofs, sync.backfills, sync.unshown"
)


@pytest.fixture
async def ledger(store: Database) -> AsyncIterator[LedgerRows]:
    """A ledger that is empty, and whose backfills are through."""
    rows = LedgerRows(store)
    await rows.sql(f"TRUNCATE {TABLES}")
    await rows.sql("INSERT INTO sync.backfills VALUES ('ancestors', 1, now())")
    yield rows
    await rows.sql(f"TRUNCATE {TABLES}")
    await rows.sql("INSERT INTO sync.backfills VALUES ('ancestors', 1, now())")


async def remaining(ledger: LedgerRows) -> set[int]:
    return {run_id for (run_id,) in await ledger.sql("SELECT run_id FROM sync.runs")}


async def facts(ledger: LedgerRows) -> list[Any]:
    async with ledger.store.transaction() as connection:
        return [one for one in await read_tables(connection, ORG) if one.last_run_at is not None]


async def remove(ledger: LedgerRows) -> Removed:
    return await remove_what_is_over(ledger.store)


async def test_what_is_old_goes_with_its_pages_and_the_newest_of_each_mode_stay(ledger: LedgerRows) -> None:
    fulls = [await ledger.run(PEOPLE, ago(days=days)) for days in (300, 200, 100, 90)]
    deltas = [await ledger.run(PEOPLE, ago(days=days), mode="delta", verdict=None) for days in (80, 75, 70, 5)]
    for one in (*fulls, *deltas):
        await ledger.page(one, str(one))
    before = await facts(ledger)
    removed = await remove(ledger)
    assert await remaining(ledger) == {*fulls[2:], *deltas[2:]}
    assert (removed.turns, removed.children) == (4, 0)
    assert {one for (one,) in await ledger.sql("SELECT run_id FROM sync.pages")} == await remaining(ledger)
    assert await facts(ledger) == before
    assert (await remove(ledger)).turns == 0


async def test_a_fan_out_goes_with_its_children_and_freshness_is_told_as_before(ledger: LedgerRows) -> None:
    old = [
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed dead") for days in (400, 300)
    ]
    good = [
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed") for days in (200, 190, 180)
    ]
    bad = await ledger.fan_out(MEMBERSHIPS, ago(days=100), [GROUPS], children="completed forbidden")
    before = await facts(ledger)
    removed = await remove(ledger)
    left = await remaining(ledger)
    assert not left & {*old, good[0]}
    assert {*good[1:], bad} <= left
    assert (removed.turns, removed.children) == (3, 5)
    assert await facts(ledger) == before
    assert not await ledger.sql(
        "SELECT FROM sync.runs AS child WHERE parent_run_id IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM sync.runs AS root WHERE root.run_id = child.parent_run_id)"
    )


async def test_the_last_reading_that_proves_something_stays_behind_many_that_do_not(ledger: LedgerRows) -> None:
    proving = await ledger.run(PEOPLE, ago(days=300))
    for days in (200, 150, 100, 90):
        await ledger.run(PEOPLE, ago(days=days), verdict="refused")
    before = await facts(ledger)
    assert (await remove(ledger)).turns == 2
    assert proving in await remaining(ledger)
    assert await facts(ledger) == before


async def test_parents_stay_with_a_fan_out_that_is_known_as_of_their_reading(ledger: LedgerRows) -> None:
    parents = await ledger.run(GROUPS, ago(days=310), epoch="spring")
    for days in (80, 75, 70):
        await ledger.run(GROUPS, ago(days=days))
    fan_out = await ledger.fan_out(MEMBERSHIPS, ago(days=300), [GROUPS], children="completed", epoch="spring")
    before = await facts(ledger)
    await remove(ledger)
    assert {parents, fan_out} <= await remaining(ledger)
    assert await facts(ledger) == before


@pytest.mark.parametrize("state", ["running", "failed", "cancelled"])
async def test_an_unfinished_turn_stays_whatever_its_age_and_its_epoch_with_it(ledger: LedgerRows, state: str) -> None:
    unfinished = await ledger.run(DONATIONS, ago(days=300), state=state, epoch="night")
    beside = await ledger.run(PEOPLE, ago(days=300), epoch="night")
    for days in (80, 75, 70):
        await ledger.run(PEOPLE, ago(days=days))
        await ledger.run(DONATIONS, ago(days=days))
    await remove(ledger)
    assert {unfinished, beside} <= await remaining(ledger)


async def test_a_fan_out_whose_children_go_on_is_left_alone(ledger: LedgerRows) -> None:
    going = await ledger.fan_out(MEMBERSHIPS, ago(days=300), [GROUPS], children="completed pending", state="awaiting")
    for days in (80, 75, 70):
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed")
    children = await ledger.sql("SELECT run_id FROM sync.runs WHERE parent_run_id = :root", root=going)
    await remove(ledger)
    assert {going, *(one for (one,) in children)} <= await remaining(ledger)


async def test_what_is_in_quarantine_stays_with_its_turn_and_what_left_it_long_ago_goes(ledger: LedgerRows) -> None:
    held, done = [await ledger.run(PEOPLE, ago(days=days), mode="delta", verdict=None) for days in (300, 299)]
    below = await ledger.fan_out(MEMBERSHIPS, ago(days=300), [GROUPS], children="completed")
    ((child,),) = await ledger.sql("SELECT run_id FROM sync.runs WHERE parent_run_id = :root", root=below)
    await ledger.quarantine(PEOPLE, held)
    await ledger.quarantine(MEMBERSHIPS, child)
    await ledger.quarantine(PEOPLE, done, resolved=ago(days=200))
    await ledger.quarantine(PEOPLE, done, resolved=ago(days=10))
    for days in (80, 75, 70):
        await ledger.run(PEOPLE, ago(days=days), mode="delta", verdict=None)
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed")
    removed = await remove(ledger)
    left = await remaining(ledger)
    assert {held, below, child} <= left
    assert done not in left
    assert removed.resolved == 1
    assert await ledger.sql("SELECT count(*) FROM sync.quarantine") == [(3,)]


async def test_nothing_goes_that_a_backfill_has_still_to_read(ledger: LedgerRows) -> None:
    for days in (300, 200, 100, 90):
        await ledger.run(PEOPLE, ago(days=days))
    for unfinished in ("UPDATE sync.backfills SET completed_at = NULL", "DELETE FROM sync.backfills"):
        await ledger.sql(unfinished)
        assert (await remove(ledger)).turns is None
        assert len(await remaining(ledger)) == 4


async def test_the_reading_before_still_tells_what_it_has_shown(ledger: LedgerRows) -> None:
    for days in (300, 200, 100, 90):
        await ledger.page(await ledger.run(PEOPLE, ago(days=days)), "1", str(days))
    await remove(ledger)
    async with ledger.store.transaction() as connection:
        run = await open_new(connection, run_request(epoch=None))
        assert await shown_before(connection, run, ["1", "90", "300"]) == {"1", "90"}
        assert run.epoch == "turn-5", "no number of a turn comes twice"


@pytest.mark.parametrize("first", ["completed ", "forbidden "])
async def test_one_that_was_killed_is_gone_on_with(
    ledger: LedgerRows, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """And what is left of it proves nothing: without the child that nobody may read it would look complete."""
    roots = [
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children=first + "completed " * 29)
        for days in (300, 200, 100, 90)
    ]
    before = await facts(ledger)
    monkeypatch.setattr(removing, "Removed", lambda: Removed(at_a_time=20))
    real, calls = turns.remove_children, []

    async def dies(*args: Any, **told: Any) -> int:
        calls.append(told)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return await real(*args, **told)

    monkeypatch.setattr(removing, "remove_children", dies)
    with pytest.raises(KeyboardInterrupt):
        await remove(ledger)
    assert roots[0] in await remaining(ledger)
    assert await facts(ledger) == before
    removed = await remove(ledger)
    assert await remaining(ledger) & set(roots) == set(roots[2:])
    assert removed.turns == 2
    assert 0 < removed.children < 60
    assert await facts(ledger) == before


@pytest.mark.parametrize("what", ["opens", "goes on"])
async def test_parents_stay_with_a_fan_out_that_comes_while_the_ledger_is_cleared(
    ledger: LedgerRows, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    parents = await ledger.run(GROUPS, ago(days=310), epoch="spring")
    old = None
    if what == "goes on":
        old = await ledger.fan_out(MEMBERSHIPS, ago(days=300), [GROUPS], children="completed dead", epoch="spring")
    for days in (80, 75, 70):
        await ledger.run(GROUPS, ago(days=days))
        await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed")
    real = turns.have_children
    came: list[int] = []

    async def comes(*args: Any) -> list[int]:
        if not came:
            came.append(old or await ledger.fan_out(MEMBERSHIPS, ago(), [GROUPS], state="awaiting", epoch="spring"))
            await ledger.sql("UPDATE sync.runs SET state = 'awaiting' WHERE run_id = :run_id", run_id=came[0])
        return await real(*args)

    monkeypatch.setattr(removing, "have_children", comes)
    await remove(ledger)
    assert {parents, *came} <= await remaining(ledger)
    assert came


async def test_a_turn_that_is_taken_over_and_completed_while_the_ledger_is_cleared_stays_with_its_pages(
    ledger: LedgerRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = await ledger.run(PEOPLE, ago(days=300), state="running", epoch="spring")
    await ledger.page(died, "1")
    for days in (200, 80, 75, 70):
        await ledger.run(PEOPLE, ago(days=days))
    real = turns.have_children
    taken: list[int] = []

    async def taken_over(*args: Any) -> list[int]:
        if not taken:
            opened, lease = await open_run(ledger.store, run_request(epoch="spring"))
            assert isinstance(opened, Opened)
            assert lease is not None
            taken.append(opened.run.run_id)
            async with ledger.store.transaction() as connection:
                await finish_run(connection, opened.run, "completed")
            await lease.release()
        return await real(*args)

    monkeypatch.setattr(removing, "have_children", taken_over)
    assert (await remove(ledger)).turns == 2
    assert taken == [died]
    assert died in await remaining(ledger)
    assert await ledger.sql("SELECT count(*) FROM sync.pages") == [(1,)]


async def test_a_turn_that_somebody_has_locked_waits_for_the_next_time(ledger: LedgerRows) -> None:
    first, *_ = [await ledger.run(PEOPLE, ago(days=days)) for days in (300, 200, 100, 90)]
    async with ledger.store.transaction() as connection:
        await connection.exec_driver_sql(f"SELECT FROM sync.runs WHERE run_id = {first} FOR UPDATE")
        assert (await remove(ledger)).turns == 1
    assert (await remove(ledger)).turns == 1


async def test_old_proofs_go_and_the_newest_of_each_list_and_method_stay(ledger: LedgerRows) -> None:
    for entity, method, days in [
        (PEOPLE, "count", 900), (PEOPLE, "count", 800), (PEOPLE, "sample", 800),
        (GROUPS, "count", 700), (GROUPS, "count", 3),
    ]:  # fmt: skip
        await ledger.sql(
            "INSERT INTO sync.proofs (org_id, entity, method, verdict, facts, requests, seconds, proved_at) "
            "VALUES (:org, :entity, :method, 'equal', '{}', 1, 1, :at)",
            entity=entity, method=method, at=ago(days=days),
        )  # fmt: skip
    assert (await remove(ledger)).proofs == 2
    assert await ledger.sql("SELECT count(*) FROM sync.proofs") == [(3,)]


async def test_a_clock_that_jumps_takes_nothing_that_is_read(database_url: str) -> None:
    await install_clock(database_url)
    counted: list[int | None] = []
    for ahead in (-30, 3650, 0):
        await move_clock(database_url, ahead)
        ledger = LedgerRows(opened(database_url))
        if not counted:
            await ledger.sql("INSERT INTO sync.backfills VALUES ('ancestors', 1, now())")
            for days in (80, 75, 70, 65):
                await ledger.run(PEOPLE, ago(days=days))
                await ledger.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed")
            held = await ledger.run(DONATIONS, ago(days=80), state="failed", epoch="held")
        counted.append((await remove(ledger)).turns)
        assert held in await remaining(ledger)
        told = await facts(ledger)
        await ledger.store.aclose()
    assert counted == [0, 4, 0], "by the database's clock, whatever this process's says"
    complete = {one.entity: one.complete_as_of for one in told}
    assert (complete[PEOPLE], complete[MEMBERSHIPS]) == (pytest.approx(ago(days=65), abs=timedelta(minutes=5)),) * 2


def test_turns_live_longer_than_freshness_looks_back() -> None:
    rules = load_due_rules()
    longest = max(rules.of(one).period_seconds for one in load_catalog().by_name.values())
    assert Lifetimes().turns > timedelta(seconds=longest)
