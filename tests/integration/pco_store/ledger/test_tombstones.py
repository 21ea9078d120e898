"""A tombstone is given by the holder of the run only, and never to a row that was seen later."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.deletions.answers import settle_run
from pco_store.ledger.deletions.missing import find_missing
from pco_store.ledger.leases import RunLease, open_run
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.quarantine.items import Quarantined, put_quarantined
from pco_store.ledger.runs import PageReceipt
from tests.integration.mirror import PEOPLE, at, person, rows, stored, upsert
from tests.integration.pco_store.ledger.test_ledger import RECEIPT
from tests.integration.requests import run_request

PAGE: PageReceipt = replace(RECEIPT, new=0)


async def walked(store: Database, *seen: str) -> RunLease:
    """A run whose only page showed these people, who were in the mirror before as 1, 2, 3 and 4 were."""
    await upsert(store, rows(*(person(number) for number in (1, 2, 3, 4)), observed=0))
    await upsert(store, rows(person(9), observed=0, org_id="mercy"))
    _, lease = await open_run(store, run_request(epoch="e"))
    assert lease is not None
    page = rows(*(person(one) for one in seen), observed=1)
    async with store.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        await commit_page(connection, PageOfRows(run=lease.run, table=PEOPLE, rows=page, receipt=PAGE, ids=seen))
    return lease


async def test_missing_is_what_the_church_has_and_the_walk_did_not_show(store: Database) -> None:
    lease = await walked(store, "1", "4")
    async with store.transaction() as connection:
        missing = await find_missing(connection, lease.run, PEOPLE)
    assert (missing.ids, missing.live, missing.witnesses) == (("2", "3"), 4, ("1",))
    await lease.release()


async def test_what_was_written_meanwhile_or_put_aside_is_not_missing(store: Database) -> None:
    lease = await walked(store, "1")
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE people.person SET _synced_at = now() WHERE id = '2'"))
        aside = Quarantined(
            org_id="grace",
            entity="people.Person",
            run_id=lease.run.run_id,
            reading=1,
            offset=0,
            record_id="3",
            reason="a test",
            raw=None,
        )
        await put_quarantined(connection, [aside])
        missing = await find_missing(connection, lease.run, PEOPLE)
    assert missing.ids == ("4",)
    await lease.release()


async def test_a_row_that_was_seen_after_the_look_is_not_marked_as_deleted(store: Database) -> None:
    lease = await walked(store, "1")
    await upsert(store, rows(person(3, updated=2, first_name="Seen"), observed=6))
    async with store.transaction() as connection:
        assert await settle_run(connection, lease.run, PEOPLE, {}, [("absent", ["2", "3"], at(5))]) == 1
        assert await settle_run(connection, lease.run, PEOPLE, {}, [("absent", ["2", "3"], at(5))]) == 0
    people = await stored(store)
    assert {one: people[one]._deleted_at for one in ("1", "2", "3")} == {"1": None, "2": at(5), "3": None}
    assert (await stored(store, org_id="mercy"))["9"]._deleted_at is None
    await lease.release()


async def test_a_run_that_was_taken_over_marks_nobody_as_deleted(store: Database) -> None:
    lease = await walked(store, "1")
    late = replace(lease.run, fence=lease.run.fence - 1)
    with pytest.raises(LeaseLost):
        async with store.transaction() as connection:
            await settle_run(connection, late, PEOPLE, {}, [("absent", ["2"], at(5))])
    assert (await stored(store))["2"]._deleted_at is None
    await lease.release()
