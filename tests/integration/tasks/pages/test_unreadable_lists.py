"""A list of which nothing can be read is one failure, a list without an end too; what is read later is settled."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from pco_client import PcoClient, PersonalAccessToken, ProcessGovernor
from pco_client.errors import PcoError, ServerFault
from pco_store.database import Database
from pco_store.ledger.quarantine.items import OpenItem, list_quarantined
from pco_store.ledger.quarantine.superseded import resolve_superseded
from pco_walks.alike import MOST_ALIKE, EndlessListError
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part
from pco_walks.window import WHOLE, Window
from tasks.pages.apply_page import apply_page
from tasks.pages.collection import read_collection
from tasks.pages.isolation import MOST_PAGES_ASIDE, MOST_UNANSWERED
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing
from tasks.pages.sync_context import SyncContext
from tests.integration.mirror import person, stored
from tests.integration.syncing import page_of, people_sync, read_all
from tests.simulators import SimulatorProcess

PEOPLE_PATH = "/people/v2/people"
COUNT = 120


@pytest.fixture(scope="module")
def people() -> Iterator[SimulatorProcess]:
    """A church of its own for this module."""
    with SimulatorProcess(people=COUNT, groups=0) as process:
        yield process


@pytest.fixture
def simulator(people: SimulatorProcess) -> SimulatorProcess:
    """The church, healthy again and with an empty log."""
    people.faults([])
    people.reset_log()
    return people


async def waiting(store: Database) -> list[OpenItem]:
    async with store.transaction() as connection:
        return await list_quarantined(connection, "grace")


async def test_a_list_that_always_fails_is_one_error_and_no_quarantine(
    store: Database, simulator: SimulatorProcess
) -> None:
    """The product itself answers, so it is no outage; but nothing speaks for a bad record either."""
    simulator.faults([{"kind": "500", "path": PEOPLE_PATH, "permanent": True}])
    async with people_sync(store, simulator, epoch="e") as sync:
        with pytest.raises(ServerFault):
            await read_all(sync, page_size=100)
    assert await waiting(store) == []
    assert len(simulator.access_log()) <= MOST_UNANSWERED + 3
    simulator.faults([])
    async with people_sync(store, simulator, epoch="later") as sync:
        await read_all(sync, page_size=100)
    assert len(await stored(store)) == COUNT


async def test_a_list_that_fails_from_some_page_on_is_one_error_too(
    store: Database, simulator: SimulatorProcess
) -> None:
    """A few whole pages are put aside, then it is the list that fails; they are settled when they are read."""
    ids = [one["id"] for one in simulator.state("people.Person")[20:]]
    simulator.faults([{"kind": "500", "record_id": one, "permanent": True} for one in ids])
    async with people_sync(store, simulator, epoch="e") as sync:
        with pytest.raises(ServerFault):
            await read_all(replace(sync, in_flight=1), page_size=20)
    assert len(simulator.access_log()) < MOST_PAGES_ASIDE * 2 * (20 + 2) + MOST_UNANSWERED + 5
    assert len(await waiting(store)) == MOST_PAGES_ASIDE * 20
    simulator.faults([])
    async with people_sync(store, simulator, epoch="later") as sync:
        await read_all(sync, page_size=20)
        async with store.transaction() as connection:
            await resolve_superseded(connection, sync.run, entity=sync.entity.name)
    assert await waiting(store) == []


@pytest.mark.parametrize("first", [0, 40, 100])
@pytest.mark.parametrize("window", [None, WHOLE])
async def test_a_page_of_which_every_record_is_bad_blocks_no_other_page(
    store: Database, simulator: SimulatorProcess, first: int, window: Window | None
) -> None:
    everybody = [one["id"] for one in simulator.state("people.Person")]
    bad = range(first, first + 20)
    simulator.faults([{"kind": "500", "record_id": everybody[place], "permanent": True} for place in bad])
    async with people_sync(store, simulator, window=window) as sync:
        await read_all(sync, page_size=20)
    assert sorted(one.offset for one in await waiting(store)) == list(bad)
    assert set(await stored(store)) == {one for place, one in enumerate(everybody) if place not in bad}


@pytest.mark.parametrize("places", [(119,), (99, 98, 97), (0,), (100, 101)])
async def test_a_few_bad_records_side_by_side_are_isolated_wherever_they_stand(
    store: Database, simulator: SimulatorProcess, places: tuple[int, ...]
) -> None:
    everybody = [one["id"] for one in simulator.state("people.Person")]
    simulator.faults([{"kind": "500", "record_id": everybody[one], "permanent": True} for one in places])
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=100)
    assert sorted(one.offset for one in await waiting(store)) == sorted(places)
    assert set(await stored(store)) == {one for place, one in enumerate(everybody) if place not in places}


async def test_what_a_strict_walk_reads_twice_stands_aside_once(store: Database, simulator: SimulatorProcess) -> None:
    """It begins and ends with the first page: the second reading replaces what the first had put aside."""
    everybody = [one["id"] for one in simulator.state("people.Person")]
    simulator.faults(
        [
            {"kind": "500", "record_id": everybody[3], "permanent": True},
            {"kind": "missing-id", "record_id": everybody[7], "permanent": True},
            {"kind": "empty-id", "record_id": everybody[8], "permanent": True},
        ]
    )
    async with people_sync(store, simulator, window=WHOLE) as sync:
        await read_all(sync, page_size=50)
    assert sorted(one.offset for one in await waiting(store)) == [3, 7, 8]


async def test_a_place_that_heals_before_the_second_reading_does_not_stay_aside(
    store: Database, simulator: SimulatorProcess
) -> None:
    bad = simulator.state("people.Person")[3]["id"]
    simulator.faults([{"kind": "500", "record_id": bad, "times": 7}])  # the page, and the halves down to one record
    async with people_sync(store, simulator, window=WHOLE) as sync:
        await read_all(sync, page_size=50)
    async with store.transaction() as connection:
        assert await connection.scalar(text('SELECT "offset" FROM sync.quarantine')) == 3
    assert await waiting(store) == []
    assert len(await stored(store)) == COUNT


async def test_a_part_that_is_read_again_settles_nothing_of_another_part(
    store: Database, simulator: SimulatorProcess
) -> None:
    """Each part of a run is a list of its own, and its places count from its own beginning."""
    bad = simulator.state("people.Person")[3]["id"]
    simulator.faults([{"kind": "missing-id", "record_id": bad, "times": 2}])
    async with people_sync(store, simulator, window=WHOLE) as sync:
        parts = replace(sync, windows={1: WHOLE, 2: WHOLE})
        first, second = (replace(page_of(sync), part=part) for part in (1, 2))
        await apply_page(parts, first, attempt=1)
        await apply_page(parts, second, attempt=1)
        assert [one.offset for one in await waiting(store)] == [3, 3]
        await apply_page(parts, replace(first, reading=2), attempt=1)
    assert [one.offset for one in await waiting(store)] == [3]
    async with store.transaction() as connection:
        still_open = text("SELECT part FROM sync.quarantine WHERE resolved_at IS NULL")
        assert (await connection.scalars(still_open)).all() == [2]


async def test_records_without_an_id_keep_their_own_places(store: Database, simulator: SimulatorProcess) -> None:
    everybody = [one["id"] for one in simulator.state("people.Person")]
    simulator.faults(
        [{"kind": "missing-id", "record_id": everybody[place], "permanent": True} for place in (4, 9, 117)]
    )
    async with people_sync(store, simulator) as sync:
        await read_all(sync, page_size=100)
    assert sorted(one.offset for one in await waiting(store)) == [4, 9, 117]


def people_from(offset: int, count: int) -> list[Any]:
    return [person(number) for number in range(offset + 1, offset + count + 1)]


def growing_by_one(offset: int) -> dict[str, Any]:
    return {"data": people_from(offset, 100), "meta": {"next": {"offset": offset + 1}}}


def repeating(offset: int) -> dict[str, Any]:
    return {"data": people_from(0, 100), "meta": {"next": {"offset": offset + 100}}}


def empty(offset: int) -> dict[str, Any]:
    return {"data": [], "meta": {"next": {"offset": offset + 100}}}


def counting_thousands_of_millions(offset: int) -> dict[str, Any]:
    return {"data": people_from(0, 100) if offset == 0 else [], "meta": {"total_count": 10**9}}


def counting_millions(offset: int) -> dict[str, Any]:
    following = {"next": {"offset": 100}} if offset == 0 else {}
    return {"data": people_from(0, 100) if offset == 0 else [], "meta": {"total_count": 90_000_000, **following}}


Answer = Callable[[int], dict[str, Any]]


@pytest.mark.parametrize("answer", [repeating, empty])
@pytest.mark.parametrize("page_size", [100, 30])
async def test_a_list_without_an_end_is_an_error_after_a_few_pages(
    store: Database, simulator: SimulatorProcess, answer: Answer, page_size: int
) -> None:
    with pytest.raises(EndlessListError, match="the list has no end"):
        await read_adversary(store, simulator, answer, page_size=page_size)


@pytest.mark.parametrize("answer", [counting_thousands_of_millions, counting_millions])
async def test_a_count_beyond_all_measure_costs_no_more_than_the_list_itself(
    store: Database, simulator: SimulatorProcess, answer: Answer
) -> None:
    requests = await read_adversary(store, simulator, answer, page_size=100)
    assert requests < 60
    assert len(await stored(store)) == 100


async def test_a_next_offset_that_grows_by_one_costs_no_page_for_each_record(
    store: Database, simulator: SimulatorProcess
) -> None:
    def growing(offset: int) -> dict[str, Any]:
        left = max(1000 - offset, 0)
        document = growing_by_one(offset)
        return document if left > 100 else {"data": people_from(offset, left), "meta": {}}

    assert await read_adversary(store, simulator, growing, page_size=100) < 60
    assert len(await stored(store)) == 1000


async def read_adversary(store: Database, simulator: SimulatorProcess, answer: Answer, *, page_size: int) -> int:
    """Read a list that answers like this; how many requests that took. It gives up after five hundred."""
    requests = 0

    def respond(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        assert requests < 500, "there is no end"
        return httpx.Response(200, content=json.dumps(answer(int(request.url.params.get("offset", 0)))))

    failed: Exception | None = None
    async with (
        people_sync(store, simulator) as honest,
        httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http,
    ):
        client = PcoClient(
            http,
            credential=PersonalAccessToken("app", "secret"),
            governor=ProcessGovernor(),
            base_url="http://adversary",
            user_agent="pco-sync tests",
        )
        try:
            await _read(replace(honest, client=client, windows={0: WHOLE}, in_flight=1), page_size)
        except EndlessListError as error:  # the lease is given back first
            failed = error
    if failed is not None:
        raise failed
    return requests


async def _read(sync: SyncContext, page_size: int) -> None:
    async def once(page: PageRef) -> dict[str, Any]:
        try:
            return asdict(await apply_page(sync, page, attempt=1))
        except PcoError as error:
            raise AssertionError(f"not an answer of this kind: {error}") from error

    walks = PartWalks([Part(number=0, window=sync.windows[0])], page_size=page_size)
    sync = replace(sync, run=replace(sync.run, page_size=page_size))
    await read_collection(walks, sync, processing=PageProcessing(whole=once, part=once))


def test_the_bounds_leave_room_for_what_happens() -> None:
    assert MOST_ALIKE >= 10
    assert MOST_UNANSWERED >= 2 * 8, "the halves of a page of 100, twice"
