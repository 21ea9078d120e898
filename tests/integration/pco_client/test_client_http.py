"""The client over real HTTP: whatever PCO, its edge or the network does becomes the error that says what to do."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from pco_client import PageRequest, PcoClient, PersonalAccessToken, ProcessGovernor, errors, read_resource
from pco_client.client import user_agent
from pco_client.governor import Permit
from pco_client.rate_limit import Budget
from tests.plain_http import NOBODY
from tests.simulators import SimulatorProcess

PEOPLE = PageRequest(path="/people/v2/people", api_version="2025-11-10")


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorProcess]:
    """A simulator of a small church, compressing its answers as PCO does."""
    with SimulatorProcess("--gzip", people=230, groups=3) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: SimulatorProcess) -> SimulatorProcess:
    """The simulator without faults and with an empty log."""
    running.faults([])
    running.forbid([])
    running.rate_limit(limit=None)
    running.latency(0)
    running.reset_log()
    return running


@asynccontextmanager
async def client_of(
    base_url: str,
    app_id: str,
    secret: str,
    *,
    user_agent: str = user_agent("it@church.test"),
    timeout: float | httpx.Timeout = 20.0,
) -> AsyncIterator[PcoClient]:
    async with httpx.AsyncClient(verify=NOBODY, trust_env=False, timeout=timeout) as http:
        yield PcoClient(
            http,
            credential=PersonalAccessToken(app_id, secret),
            governor=ProcessGovernor(budget=Budget(limits={False: 10_000, True: 10_000})),
            base_url=base_url,
            user_agent=user_agent,
        )


@pytest.fixture
async def client(simulator: SimulatorProcess) -> AsyncIterator[PcoClient]:
    """A client of the simulator."""
    async with client_of(simulator.base_url, simulator.app_id, simulator.secret) as one:
        yield one


class Noting(ProcessGovernor):
    """Remembers how many seconds after its permit each request was written."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []

    async def sent(self, permit: Permit) -> None:
        self.late.append(time.monotonic() - permit.taken_at)
        await super().sent(permit)


async def test_the_governor_learns_when_a_request_was_written_and_not_when_it_was_waiting_for_a_connection(
    simulator: SimulatorProcess,
) -> None:
    simulator.latency(200)
    governor = Noting()
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(verify=NOBODY, trust_env=False, limits=limits) as http:
        credential = PersonalAccessToken(simulator.app_id, simulator.secret)
        client = PcoClient(http, credential=credential, governor=governor, base_url=simulator.base_url)
        await asyncio.gather(*(client.fetch_page(PEOPLE, expected_type="Person") for _ in range(3)))
    # each answer takes 0.1 s at least, and the next request is written after it
    assert len(governor.late) == 3
    assert governor.late[1] >= 0.1
    assert governor.late[2] >= 0.2


@pytest.mark.parametrize(("per_page", "pages"), [(100, 3), (500, 3), (7, 33)])
async def test_a_stream_reads_every_record_exactly(
    simulator: SimulatorProcess, client: PcoClient, per_page: int, pages: int
) -> None:
    request = PageRequest(path=PEOPLE.path, api_version=PEOPLE.api_version, per_page=per_page)
    found = [page async for page in client.stream_pages(request, expected_type="Person")]
    assert len(found) == pages
    assert [record for page in found for record in page.records] == simulator.state("people.Person")
    log = simulator.access_log()
    assert len(log) == pages
    assert {one["version"] for one in log} == {"2025-11-10"}
    assert all(one["user_agent"].startswith("pco-sync/") and "it@church.test" in one["user_agent"] for one in log)


@pytest.mark.parametrize("kind", ["links-only", "no-total"])
async def test_a_stream_reads_everything_though_pco_says_less(
    simulator: SimulatorProcess, client: PcoClient, kind: str
) -> None:
    simulator.faults([{"kind": kind}])
    found = [page async for page in client.stream_pages(PEOPLE, expected_type="Person")]
    assert sum(len(page.records) for page in found) == 230
    assert all((page.total_count is None) == (kind == "no-total") for page in found)


async def test_a_page_of_no_records_that_is_followed_by_itself_is_refused(client: PcoClient) -> None:
    request = PageRequest(path=PEOPLE.path, api_version=PEOPLE.api_version, per_page=0)
    with pytest.raises(errors.UnexpectedDocument, match="does not grow"):
        await client.fetch_page(request, expected_type="Person")


async def test_past_the_end_there_is_an_empty_last_page(client: PcoClient) -> None:
    request = PageRequest(path=PEOPLE.path, api_version=PEOPLE.api_version, offset=5_000)
    page = (await client.fetch_page(request, expected_type="Person")).page
    assert (page.records, page.next_offset, page.total_count) == ((), None, 230)


FAULTS = [
    ("204", errors.UndecodableAnswer),
    ("html", errors.UndecodableAnswer),
    ("half-json", errors.UndecodableAnswer),
    ("empty", errors.UndecodableAnswer),
    ("half-body", errors.Unreachable),
    ("reset", errors.Unreachable),
    ("500", errors.ServerFault),
    ("502", errors.ServerFault),
    ("503", errors.ServerFault),
    ("504", errors.ServerFault),
    ("html-403", errors.EdgeBlocked),
    ("400", errors.BadRequest),
    ("401", errors.Unauthorized),
    ("402", errors.PlanLacksFeature),
    ("403", errors.Forbidden),
    ("404", errors.NotFound),
    ("422", errors.BadRequest),
    ("object", errors.UnexpectedDocument),
    ("wrong-type", errors.UnexpectedDocument),
    ("stuck-next", errors.UnexpectedDocument),
]


@pytest.mark.parametrize(("kind", "expected"), FAULTS)
async def test_a_fault_becomes_its_error_and_the_next_request_succeeds(
    simulator: SimulatorProcess, client: PcoClient, kind: str, expected: type[errors.PcoError]
) -> None:
    simulator.faults([{"kind": kind, "at_request": 1}])
    with pytest.raises(errors.PcoError) as caught:
        await client.fetch_page(PEOPLE, expected_type="Person")
    assert type(caught.value) is expected
    assert simulator.secret not in f"{caught.value!r}{vars(caught.value)}"
    assert len((await client.fetch_page(PEOPLE, expected_type="Person")).page.records) == 100


async def test_silence_ends_with_the_timeout(simulator: SimulatorProcess) -> None:
    simulator.faults([{"kind": "hang", "at_request": 1}])
    timeout = httpx.Timeout(20.0, read=0.2)
    async with client_of(simulator.base_url, simulator.app_id, simulator.secret, timeout=timeout) as client:
        with pytest.raises(errors.Unreachable, match="ReadTimeout"):
            await client.fetch_page(PEOPLE, expected_type="Person")


async def test_a_host_that_cannot_be_reached_is_told() -> None:
    async with client_of("http://127.0.0.1:1", "app", "hunter2") as client:
        with pytest.raises(errors.Unreachable, match="ConnectError") as caught:
            await client.fetch_page(PEOPLE, expected_type="Person")
    assert caught.value.status is None


async def test_a_refusal_is_waited_out_though_its_wait_is_negative(
    simulator: SimulatorProcess, client: PcoClient
) -> None:
    simulator.faults([{"kind": "429", "at_request": 1, "retry_after": -4}])
    fetched = await client.fetch_page(PEOPLE, expected_type="Person")
    assert len(fetched.page.records) == 100
    assert fetched.requests == 2
    first, second = simulator.access_log()
    assert (first["status"], second["status"]) == (429, 200)
    assert second["at"] - first["at"] >= 1.0


async def test_wrong_credentials_and_no_permission_are_told_apart(simulator: SimulatorProcess) -> None:
    async with client_of(simulator.base_url, simulator.app_id, "wrong") as client:
        with pytest.raises(errors.Unauthorized) as caught:
            await client.fetch_document("/people/v2", api_version="2025-11-10")
        assert caught.value.hint == "CHINCHILLA"
    simulator.forbid(["groups"])
    async with client_of(simulator.base_url, simulator.app_id, simulator.secret) as client:
        with pytest.raises(errors.Forbidden):
            await client.fetch_document("/groups/v2", api_version="2023-07-10")
        organization = await client.fetch_document("/people/v2", api_version="2025-11-10")
        assert organization["data"]["type"] == "Organization"


async def test_poison_is_read_without_harm_to_the_records_around_it(
    simulator: SimulatorProcess, client: PcoClient
) -> None:
    clean = (await client.fetch_page(PEOPLE, expected_type="Person")).page.records
    kinds = ("nul", "surrogate", "huge-integer", "huge-number", "number-id")
    simulator.faults([{"kind": kind, "record_id": clean[place]["id"]} for place, kind in enumerate(kinds)])
    spoilt = (await client.fetch_page(PEOPLE, expected_type="Person")).page.records
    assert spoilt[len(kinds) :] == clean[len(kinds) :]
    texts = [value for record in spoilt[:4] for value in record["attributes"].values()]
    assert "before\x00after" in texts
    assert "lone \ud800 surrogate" in texts
    assert int("9" * 30) in texts
    assert read_resource(spoilt[4], expected_type="Person").id == clean[4]["id"]


async def test_a_limit_that_drops_in_the_middle_costs_no_record(simulator: SimulatorProcess) -> None:
    """The new limit is in the headers of the very next answer, so at most the requests on their way are refused."""
    simulator.rate_limit(limit=100, period=1)
    simulator.rate_limit(limit=10, after_request=12)
    request = PageRequest(path=PEOPLE.path, api_version=PEOPLE.api_version, per_page=10)
    async with client_of(simulator.base_url, simulator.app_id, simulator.secret) as client:
        found = [page async for page in client.stream_pages(request, expected_type="Person")]
    assert sum(len(page.records) for page in found) == 230
    assert simulator.stats()["by_status"]["200"] == 23
    assert simulator.stats()["refused"] <= 1
