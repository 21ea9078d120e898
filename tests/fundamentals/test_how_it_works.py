"""Start here: what pco-sync does, one idea per test, from the catalogue down to the ledger.

Everything is real: a PostgreSQL server, and a simulator that answers as Planning Center does.
"""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import select

from pco_catalog import load_catalog
from pco_client import PageRequest, PcoClient, PersonalAccessToken, ProcessGovernor
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import NotOpened, Opened, RunRequest
from pco_store.ledger.runs import RunWindow, finish_run
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import upsert_rows
from pco_walks.back_to_front import BackToFront
from pco_walks.walk import PageReading
from pco_walks.window import choose_window
from tasks.rows.transform import transform_page
from tests.simulators import SimulatorProcess

PERSON = load_catalog().entity("people.Person")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

ADA = {
    "type": "Person",
    "id": "1",
    "attributes": {"first_name": "Ada", "birthdate": "1815-12-10", "favourite_number": 7},
    "relationships": {"primary_campus": {"data": {"type": "PrimaryCampus", "id": "9"}}},
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """A small church."""
    with SimulatorProcess(people=30, groups=0) as process:
        yield process


@pytest.fixture
async def client(simulator: SimulatorProcess) -> AsyncIterator[PcoClient]:
    """A client that may read it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        yield PcoClient(
            http,
            credential=PersonalAccessToken(simulator.app_id, simulator.secret),
            governor=ProcessGovernor(),
            base_url=simulator.base_url,
        )


def test_an_entity_is_data_in_the_catalogue() -> None:
    assert PERSON.list_path == "/people/v2/people"
    assert PERSON.attributes["birthdate"].type == "date"


async def test_the_client_streams_a_list_page_by_page(client: PcoClient) -> None:
    request = PageRequest(path="/people/v2/people", api_version=PERSON.api_version, per_page=20)
    pages = [page async for page in client.stream_pages(request, expected_type="Person")]
    assert [len(page.records) for page in pages] == [20, 10]
    assert [page.next_offset for page in pages] == [20, None]


def test_a_record_becomes_a_typed_row_and_what_has_no_column_goes_to_extra() -> None:
    (row,) = transform_page([ADA], entity=PERSON, org_id="grace", epoch="turn-1", observed_at=NOON).rows
    assert (row["org_id"], row["id"], row["first_name"]) == ("grace", "1", "Ada")
    assert str(row["birthdate"]) == "1815-12-10"
    assert row["primary_campus_id"] == "9"
    assert json.loads(str(row["extra"]))["favourite_number"] == 7


async def test_a_page_of_rows_is_upserted_and_a_second_time_changes_nothing(database: Database) -> None:
    table = mirror_table(PERSON)
    page = transform_page([ADA], entity=PERSON, org_id="grace", epoch="turn-1", observed_at=NOON)
    async with database.transaction() as connection:
        assert (await upsert_rows(connection, table, page.rows)).new == 1
        assert (await upsert_rows(connection, table, page.rows)).unchanged == 1
        assert await connection.scalar(select(table.c.first_name)) == "Ada"


def test_a_window_ends_some_seconds_ago_so_that_nothing_enters_it_while_it_is_read() -> None:
    window = choose_window(PERSON, mode="full", until=NOON, watermark=None)
    (bound,) = window.where()
    assert (bound.attribute, bound.operator, bound.value) == ("created_at", "lte", "2026-11-24T11:59:55Z")


def test_a_walk_knows_which_pages_to_read_next_and_when_it_has_seen_all() -> None:
    walk = BackToFront(page_size=10, bounded=True)
    (first,) = walk.ready()
    walk.record(PageReading(offset=0, size=10, reading=first.reading, rows=10, next_offset=10, total_count=15))
    (second,) = walk.ready()
    walk.record(PageReading(offset=10, size=10, reading=second.reading, rows=5, next_offset=None, total_count=15))
    assert walk.is_finished


async def test_the_ledger_lets_a_sync_run_once_per_epoch(database: Database) -> None:
    request = RunRequest(
        org_id="grace",
        entity="people.Person",
        epoch="2026-11-24",
        mode="full",
        on_conflict="join",
        window=RunWindow(attribute=None, since=None, until=None),
        page_size=100,
        owner="this test",
        flow_run_id=None,
        lease_seconds=30,
    )
    opened, lease = await open_run(database, request)
    assert isinstance(opened, Opened)
    assert lease is not None

    again, _ = await open_run(database, request)
    assert isinstance(again, NotOpened)
    assert again.why == "running"

    async with database.transaction() as connection:
        await finish_run(connection, opened.run, "completed")
    await lease.release()

    again, _ = await open_run(database, request)
    assert isinstance(again, NotOpened)
    assert again.why == "completed"
