"""The lists of a church's epoch are opened together and held beside it, by the rules that hold for each alone."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import LeaseLost, PlanDiffers
from pco_store.ledger.leases import RunLease, open_beside, open_run
from pco_store.ledger.openings import ORGANIZATION, NotOpened, Opened, RunRequest, find_run, open_new
from pco_store.ledger.runs import check_fence, finish_run
from tests.integration.requests import run_request

NAMES = ("people.Person", "people.Email", "people.Campus")


def of_church(flow_run_id: str = "the-church", *, lease_seconds: float = 30) -> RunRequest:
    """What the church's own flow run asks for."""
    request = run_request(epoch="e", flow_run_id=flow_run_id, lease_seconds=lease_seconds)
    return replace(request, entity=ORGANIZATION)


def lists(flow_run_id: str = "the-church", *, lease_seconds: float = 30) -> list[RunRequest]:
    """What it asks for its lists."""
    request = run_request(epoch="e", flow_run_id=flow_run_id, lease_seconds=lease_seconds)
    return [replace(request, entity=name) for name in NAMES]


async def church(database: Database, flow_run_id: str = "the-church", *, lease_seconds: float = 30) -> RunLease:
    """The church's lease."""
    _, lease = await open_run(database, of_church(flow_run_id, lease_seconds=lease_seconds))
    assert lease is not None
    return lease


async def rows(database: Database) -> dict[str, tuple[str, int, int, bool, bool]]:
    """State, fence, turn, whether its session is locked and whether it is leased, by entity."""
    async with database.transaction() as connection:
        found = await connection.execute(
            text("SELECT entity, state, fence, turn, session_locked, lease_until > now() FROM sync.runs")
        )
        return {row[0]: tuple(row[1:]) for row in found}


async def test_new_lists_are_opened_and_held_and_nobody_else_may_start_them(database: Database) -> None:
    lease = await church(database)

    opened = await open_beside(lease, lists())

    assert {name: type(one) for name, one in opened.items()} == dict.fromkeys(NAMES, Opened)
    assert await rows(database) == dict.fromkeys((ORGANIZATION, *NAMES), ("running", 1, 1, True, True))
    for request in lists("somebody"):
        decision, none = await open_run(database, request)
        assert (isinstance(decision, NotOpened), none) == (True, None)
    await lease.release()


async def test_somebody_who_is_opening_one_of_them_is_waited_for(database: Database) -> None:
    lease = await church(database)
    theirs, *others = lists("somebody")

    async def is_waiting() -> bool:
        async with database.transaction() as connection:
            waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return bool(await connection.scalar(waiting))

    async with database.transaction() as connection:
        assert await find_run(connection, theirs) is None
        ours = asyncio.create_task(open_beside(lease, lists()))
        async with asyncio.timeout(20):
            while not await is_waiting():
                assert not ours.done(), await ours
                await asyncio.sleep(0.01)
        await open_new(connection, theirs)
    opened = await ours

    assert isinstance(opened[theirs.entity], NotOpened)
    assert {type(opened[one.entity]) for one in others} == {Opened}
    await lease.release()


async def test_all_of_them_are_held_by_renewing_the_churchs_lease(database: Database) -> None:
    lease = await church(database, lease_seconds=0)
    opened = await open_beside(lease, lists(lease_seconds=0))
    done = opened["people.Email"]
    assert isinstance(done, Opened)
    lease.let_go(done.run)
    assert {leased for *_, leased in (await rows(database)).values()} == {False}

    lease.lease_seconds = 30
    await lease.renew()

    assert {name: leased for name, (*_, leased) in (await rows(database)).items()} == {
        ORGANIZATION: True,
        "people.Person": True,
        "people.Email": False,
        "people.Campus": True,
    }
    await lease.release()


async def test_when_the_churchs_process_dies_its_lists_may_be_taken_over_at_once(database: Database) -> None:
    dead = await church(database)
    before = await open_beside(dead, lists())
    await dead.release()  # Postgres sees the connection end

    lease = await church(database, "the-next")
    after = await open_beside(lease, lists("the-next"))

    for name in NAMES:
        old, new = before[name], after[name]
        assert isinstance(old, Opened)
        assert isinstance(new, Opened)
        assert (new.run.is_new, new.taken_from, new.run.fence) == (False, "the-church", 2)
        async with database.transaction() as connection:
            with pytest.raises(LeaseLost):
                await check_fence(connection, old.run)
    await lease.release()


async def test_a_connection_that_was_lost_takes_no_list_away(database: Database) -> None:
    lease = await church(database)
    await open_beside(lease, lists())
    async with database.transaction() as connection:
        ended = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid"
            )
        )
        assert ended.scalars().all() == [True]

    await lease.renew()

    decision, _ = await open_run(database, lists("somebody")[0])
    assert isinstance(decision, NotOpened)
    assert {locked for *_, locked, _ in (await rows(database)).values()} == {True}
    await lease.release()


async def test_what_is_complete_or_was_begun_otherwise_is_not_opened_and_the_others_are(database: Database) -> None:
    lease = await church(database)
    _, done = await open_run(database, lists()[0])
    assert done is not None
    async with database.transaction() as connection:
        await finish_run(connection, done.run, "completed")
    asked = [lists()[0], replace(lists()[1], plan={"many_deletions": "accept"}), lists()[2]]
    _, other = await open_run(database, lists()[1])
    assert other is not None

    opened = await open_beside(lease, asked)

    person, email, campus = (opened[name] for name in NAMES)
    assert (isinstance(person, NotOpened) and person.why, type(email), type(campus)) == (
        "completed",
        PlanDiffers,
        Opened,
    )
    assert [one.entity for one in lease.beside] == ["people.Campus"]
    await lease.release()
    await done.release()
    await other.release()
