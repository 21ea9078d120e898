"""Ancestors and links of what was mirrored earlier are filled from the ledger, beside running syncs."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.ancestors import Filled, fill_ancestors
from pco_store.ledger.fan_out.children import end_child
from pco_store.mirror.tables import mirror_table
from tasks.rows.transform import transform_page
from tests.integration.fan_outs import claim, commit_page, insert, open_fan_out
from tests.integration.fan_outs import rows as found
from tests.integration.mirror import at, upsert

PAYMENT_METHOD = load_catalog().entity("giving.PaymentMethod")
MEMBERSHIP = load_catalog().entity("people.HouseholdMembership")


async def mirror(store: Database, *ids: str, entity: Any = PAYMENT_METHOD) -> None:
    """Rows as an earlier version left them: their parents stand in the ledger only."""
    records = [{"type": entity.resource, "id": one, "attributes": {}, "relationships": {}} for one in ids]
    page = transform_page(records, entity=entity, org_id="grace", epoch="turn-1", observed_at=at(0))
    await upsert(store, page.rows, table=mirror_table(entity))


async def listed(
    store: Database,
    scope: str,
    ids: Sequence[str],
    *,
    epoch: str,
    entity: str = PAYMENT_METHOD.name,
    below: tuple[str, ...] = ("giving.Person",),
) -> None:
    """A finished child of a fan-out, with one page."""
    root = await open_fan_out(store, epoch=epoch, entity=entity, below=below)
    await insert(store, root, scope)
    (run,) = (await claim(store, root, scope)).runs
    await commit_page(store, run, ids=ids)
    async with store.transaction() as connection:
        await end_child(connection, run, "completed")


async def owners(store: Database) -> dict[str, str | None]:
    return {row.id: row.person_id for row in await found(store, "SELECT id, person_id FROM giving.payment_method")}


async def test_rows_get_the_parent_below_which_they_were_listed_last(store: Database) -> None:
    await mirror(store, "1", "2", "3")
    await listed(store, "7", ["1", "2"], epoch="first")
    await listed(store, "8", ["2"], epoch="second")

    filled = await fill_ancestors(store)

    assert (filled.rows, filled.runs, filled.all_runs) == (2, 2, 2)
    assert await owners(store) == {"1": "7", "2": "8", "3": None}


async def test_nothing_else_of_a_row_changes_and_what_is_known_stays(store: Database) -> None:
    await mirror(store, "1", "2")
    await listed(store, "7", ["1", "2"], epoch="first")
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE giving.payment_method SET person_id = '9' WHERE id = '2'"))
    before = await found(store, "SELECT _content_hash, _epoch, _synced_at FROM giving.payment_method ORDER BY id")

    await fill_ancestors(store)

    assert await owners(store) == {"1": "7", "2": "9"}
    assert before == await found(
        store, "SELECT _content_hash, _epoch, _synced_at FROM giving.payment_method ORDER BY id"
    )


async def test_when_it_is_done_it_does_nothing_and_what_comes_later_needs_no_filling(store: Database) -> None:
    await mirror(store, "1")
    await fill_ancestors(store)
    await listed(store, "7", ["1"], epoch="later")
    assert (await fill_ancestors(store)).all_runs == 0
    assert await owners(store) == {"1": None}


async def test_interrupted_it_is_continued_where_it_stopped(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pco_store.ledger.ancestors.RUNS_AT_A_TIME", 2)
    ids = [str(number) for number in range(1, 7)]
    await mirror(store, *ids)
    for one in ids:
        await listed(store, f"9{one}", [one], epoch="first")

    def interrupt(_: Filled) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await fill_ancestors(store, interrupt)
    assert await owners(store) == {one: f"9{one}" if one in ("5", "6") else None for one in ids}

    rest = await fill_ancestors(store)

    assert (rest.rows, rest.runs) == (4, 4)
    assert await owners(store) == {one: f"9{one}" for one in ids}


async def test_it_waits_for_no_lock_and_fills_the_row_when_its_writer_is_through(store: Database) -> None:
    await mirror(store, "1", "2")
    await listed(store, "7", ["1", "2"], epoch="first")
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE giving.payment_method SET last4 = '1234' WHERE id = '1'"))
        filling = asyncio.create_task(fill_ancestors(store))
        async with asyncio.timeout(20):
            while (await owners(store))["2"] is None:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
        assert not filling.done()
    await filling
    (row,) = await found(store, "SELECT last4, person_id FROM giving.payment_method WHERE id = '1'")
    assert tuple(row) == ("1234", "7")


async def test_a_person_and_a_household_with_the_same_id_are_not_taken_for_each_other(store: Database) -> None:
    await mirror(store, "1", "2", entity=MEMBERSHIP)
    await listed(store, "5", ["1"], epoch="first", entity=MEMBERSHIP.name, below=("people.Household",))
    await listed(store, "5", ["1", "2"], epoch="second", entity=MEMBERSHIP.name, below=("people.Person",))
    await fill_ancestors(store)
    members = await found(store, "SELECT id, household_id FROM people.household_membership ORDER BY id")
    assert [tuple(row) for row in members] == [("1", "5"), ("2", None)]


async def test_links_are_those_of_the_latest_complete_reading_of_each_list(store: Database) -> None:
    tags = {"entity": "groups.Tag", "below": ("groups.Group",)}
    await listed(store, "5", ["1", "2"], epoch="first", **tags)  # type: ignore[arg-type]
    await listed(store, "6", ["1"], epoch="first", **tags)  # type: ignore[arg-type]
    await listed(store, "5", ["2", "3"], epoch="second", **tags)  # type: ignore[arg-type]

    filled = await fill_ancestors(store)

    assert filled.links == 3
    links = await found(store, "SELECT parent_id, id FROM sync.links WHERE unlisted_at IS NULL")
    assert {tuple(row) for row in links} == {("6", "1"), ("5", "2"), ("5", "3")}


async def test_rows_below_two_levels_get_both_ancestors(store: Database) -> None:
    note = load_catalog().entity("people.WorkflowCardNote")
    await mirror(store, "1", entity=note)
    await listed(
        store, "12/345", ["1"], epoch="first", entity=note.name, below=("people.Person", "people.WorkflowCard")
    )
    await fill_ancestors(store)
    (row,) = await found(store, "SELECT person_id, workflow_card_id FROM people.workflow_card_note")
    assert tuple(row) == ("12", "345")
