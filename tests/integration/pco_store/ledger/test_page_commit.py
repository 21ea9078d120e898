"""A page and what comes with it: all of it in one statement, or nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import pytest
from sqlalchemy import text

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.leases import RunLease, open_run
from pco_store.ledger.members import members_of
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.run_facts import once_completed, run_facts
from pco_store.ledger.runs import PageReceipt, RunHandle, finish_run, run_totals
from pco_store.mirror.tables import mirror_table
from tasks.rows.transform import transform_page
from tests.integration.mirror import PEOPLE, at, person, rows
from tests.integration.pco_store.ledger.test_ledger import RECEIPT
from tests.integration.requests import run_request

CATALOG = load_catalog()
KINDS = ("people.PersonApp", "people.PlatformNotification")


@pytest.fixture
async def lease(store: Database) -> AsyncIterator[RunLease]:
    """A run of people that brings two kinds."""
    brings = CATALOG.brought_by("people.Person")
    assert {one.entity for one in brings} == set(KINDS)
    async with store.transaction() as connection:
        await connection.execute(text("TRUNCATE people.person_app, people.platform_notification"))
    _, opened = await open_run(store, replace(run_request(epoch="e"), sideloads=brings))
    assert opened is not None
    yield opened
    await opened.release()


async def members(store: Database, run: RunHandle) -> dict[str, RunHandle]:
    async with store.transaction() as connection:
        return {one.run.entity: one.run for one in await members_of(connection, run)}


def brought(run: RunHandle, *ids: str, receipt: PageReceipt = RECEIPT) -> PageOfRows:
    """Records of a kind that belong to the first person."""
    entity = CATALOG.entity(run.entity)
    records = [{"type": entity.resource, "id": one, "attributes": {}} for one in ids]
    page = transform_page(records, entity=entity, org_id=run.org_id, epoch="e", observed_at=at(1))
    assert not page.rejected
    receipt = replace(receipt, rows=len(ids), requests=0)
    return PageOfRows(run=run, table=mirror_table(entity), rows=page.rows, receipt=receipt, ids=ids)


def people(run: RunHandle, *, receipt: PageReceipt = RECEIPT) -> PageOfRows:
    return PageOfRows(run=run, table=PEOPLE, rows=rows(person(1), person(2)), receipt=receipt, ids=["1", "2"])


async def commit(store: Database, page: PageOfRows, *others: PageOfRows, completes_run: bool = False) -> PageReceipt:
    async with store.statement() as connection:
        return await commit_page(connection, page, others, completes_run=completes_run)


async def stored(store: Database) -> list[int]:
    """How many people, apps, notifications and checkpoints there are."""
    tables = ("people.person", "people.person_app", "people.platform_notification", "sync.pages")
    async with store.transaction() as connection:
        return [int(await connection.scalar(text(f"SELECT count(*) FROM {one}")) or 0) for one in tables]


async def test_each_kind_has_its_rows_and_a_checkpoint_of_its_own_run(store: Database, lease: RunLease) -> None:
    kinds = await members(store, lease.run)
    apps, notifications = (kinds[one] for one in KINDS)

    receipt = await commit(store, people(lease.run), brought(apps, "7", "8", "9"), brought(notifications, "5"))
    again = replace(RECEIPT, offset=100)
    second = await commit(
        store, people(lease.run, receipt=again), brought(apps, "9", "10", receipt=again), completes_run=True
    )

    assert (receipt.new, second.new, second.unchanged) == (2, 0, 2)
    assert await stored(store) == [2, 4, 1, 5]
    async with store.transaction() as connection:
        totals = [await run_totals(connection, one) for one in (lease.run, apps, notifications)]
        state = await connection.scalar(
            text("SELECT state FROM sync.runs WHERE run_id = :it"), {"it": lease.run.run_id}
        )
    assert [(one.pages, one.rows, one.new, one.unchanged) for one in totals] == [
        (2, 4, 2, 2),
        (2, 5, 4, 1),
        (1, 1, 1, 0),
    ]
    assert state == "completed"


async def test_one_intricate_row_makes_the_whole_page_take_the_longer_statement(
    store: Database, lease: RunLease
) -> None:
    kinds = await members(store, lease.run)
    apps = kinds["people.PersonApp"]
    await commit(store, people(lease.run), brought(apps, "7"))
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE people.person_app SET _content_hash = substr(_content_hash, 1, 16)"))

    later = replace(RECEIPT, offset=100)
    receipt = await commit(store, people(lease.run, receipt=later), brought(apps, "7", "8", receipt=later))

    assert (receipt.new, receipt.unchanged) == (0, 2)
    async with store.transaction() as connection:
        totals = await run_totals(connection, apps)
        hashes = await connection.execute(text("SELECT octet_length(_content_hash) FROM people.person_app"))
    assert (totals.new, totals.unchanged, totals.changed) == (2, 1, 0)
    assert set(hashes.scalars()) == {20}


@pytest.mark.parametrize("completes_run", [False, True])
async def test_a_page_without_rows_is_recorded_and_looks_at_no_table_of_the_mirror(
    store: Database, lease: RunLease, completes_run: bool
) -> None:
    """Most lists of a delta have nothing to tell: what it costs to bring in rows is not paid for none."""
    apps = (await members(store, lease.run))["people.PersonApp"]
    nothing = replace(people(lease.run, receipt=replace(RECEIPT, rows=0)), rows=[], ids=[])
    async with store.transaction() as elsewhere:
        await elsewhere.execute(text("LOCK TABLE people.person, people.person_app IN ACCESS EXCLUSIVE MODE"))
        async with asyncio.timeout(10):
            receipt = await commit(store, nothing, brought(apps), completes_run=completes_run)
    assert (receipt.new, receipt.changed, receipt.unchanged, receipt.stale) == (0, 0, 0, 0)
    assert await stored(store) == [0, 0, 0, 2]
    async with store.transaction() as connection:
        state = text("SELECT state FROM sync.runs WHERE run_id = :it")
        ended = await connection.scalar(state, {"it": lease.run.run_id})
        assert (await run_totals(connection, lease.run)).pages == 1
    assert ended == ("completed" if completes_run else "running")


async def test_a_list_is_told_of_before_its_end_as_the_ledger_shows_it_afterwards(
    store: Database, lease: RunLease
) -> None:
    kinds = await members(store, lease.run)
    await commit(store, people(lease.run), *(brought(run, "7") for run in kinds.values()))
    async with store.transaction() as connection:
        told = once_completed(await run_facts(connection, lease.run.run_id))
        await finish_run(connection, lease.run, "completed", pages=1, result={"pages": 1})
        shown = await run_facts(connection, lease.run.run_id)
        states = await connection.scalars(text("SELECT DISTINCT state FROM sync.runs"))
    assert (told, told.lists, len(told.members)) == (replace(shown, result=None), 1, 2)
    assert (shown.result, states.all()) == ({"pages": 1}, ["completed"])


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_what_comes_with_a_list_does_not_end_before_it(
    store: Database, lease: RunLease, state: Literal["failed", "cancelled"]
) -> None:
    async with store.transaction() as connection:
        await finish_run(connection, lease.run, state, error="503", result={"pages": 0})
        await finish_run(connection, lease.run, state, error="503")
        ends = await connection.execute(text("SELECT state, result FROM sync.runs ORDER BY run_id"))
    assert [tuple(one) for one in ends] == [(state, {"pages": 0}), ("running", None), ("running", None)]


async def test_who_lost_the_run_leaves_nothing_of_any_kind(store: Database, lease: RunLease) -> None:
    kinds = await members(store, lease.run)
    await lease.release()
    _, heir = await open_run(store, run_request(epoch="e"))
    assert heir is not None

    with pytest.raises(LeaseLost):
        await commit(store, people(lease.run), brought(kinds["people.PersonApp"], "7"))
    with pytest.raises(LeaseLost):
        await commit(store, replace(people(lease.run), rows=[], ids=[]))

    assert await stored(store) == [0, 0, 0, 0]
    await heir.release()
