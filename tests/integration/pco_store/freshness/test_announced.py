"""How current a church is is told when that changes, once, and again and again as long as it is well."""

from collections.abc import AsyncIterator

import pytest

from pco_store.database import Database
from pco_store.freshness.announcing import LOOK_SECONDS, REPEAT_SECONDS, claim_announcements, claim_look
from tests.integration.ledger_rows import ORG, LedgerRows, ago

PEOPLE = "people.Person"


@pytest.fixture
async def ledger(store: Database) -> AsyncIterator[LedgerRows]:
    """A church whose people were read a moment ago, and of which nothing was told."""
    rows = LedgerRows(store)
    await rows.sql("TRUNCATE sync.runs, sync.watermarks, sync.lists, sync.announced")
    await rows.run(PEOPLE, ago(minutes=1))
    yield rows
    await rows.sql("TRUNCATE sync.runs, sync.watermarks, sync.announced")


async def told(ledger: LedgerRows, *org_ids: str) -> dict[str, str]:
    async with ledger.store.transaction() as connection:
        return {one.church.org_id: one.freshness for one in await claim_announcements(connection, org_ids or (ORG,))}


async def pass_time(ledger: LedgerRows, seconds: float) -> None:
    await ledger.sql(
        "UPDATE sync.announced SET announced_at = announced_at - make_interval(secs => :seconds), "
        "since = since - make_interval(secs => :seconds)",
        seconds=seconds,
    )


async def test_a_change_is_told_once_and_what_is_well_again_after_half_an_hour(ledger: LedgerRows) -> None:
    assert await told(ledger) == {ORG: "current"}
    assert await told(ledger) == {}
    await pass_time(ledger, REPEAT_SECONDS + 1)
    assert await told(ledger) == {ORG: "current"}

    await ledger.watermark(PEOPLE, ago(hours=3))
    assert await told(ledger) == {ORG: "overdue"}
    await pass_time(ledger, 10 * REPEAT_SECONDS)
    assert await told(ledger) == {}, "an alarm that repeats itself is switched off"

    await ledger.watermark(PEOPLE, ago(minutes=1))
    assert await told(ledger) == {ORG: "current"}


async def test_since_when_it_is_so_does_not_move_with_what_is_told_again(ledger: LedgerRows) -> None:
    await told(ledger)
    await pass_time(ledger, REPEAT_SECONDS + 1)
    ((before,),) = await ledger.sql("SELECT since FROM sync.announced")
    await told(ledger)
    assert await ledger.sql("SELECT since FROM sync.announced") == [(before,)]


async def test_a_church_of_which_nothing_was_read_is_overdue_and_one_that_left_is_told_once(
    ledger: LedgerRows,
) -> None:
    assert await told(ledger, ORG, "hope") == {ORG: "current", "hope": "overdue"}
    assert await told(ledger, ORG) == {"hope": "unscheduled"}
    assert await told(ledger, ORG) == {}
    assert await ledger.sql("SELECT org_id FROM sync.announced") == [(ORG,)]


async def test_of_all_workers_one_looks_in_five_minutes(ledger: LedgerRows) -> None:
    async def look() -> bool:
        async with ledger.store.transaction() as connection:
            return await claim_look(connection)

    assert [await look(), await look()] == [True, False]
    assert await told(ledger) == {ORG: "current"}
    await pass_time(ledger, LOOK_SECONDS + 1)
    assert [await look(), await look()] == [True, False]
