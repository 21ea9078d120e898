"""The client over recorded answers: it follows PCO's offsets, waits out refusals, and needs nothing but httpx."""

import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pco_client import PageRequest, PcoClient, PersonalAccessToken, ProcessGovernor, Where, errors
from pco_client.governor import Permit
from pco_client.rate_limit import RateReading
from pco_client.testing import RecordedTransport
from tests.unit.pco_client.answers import JSON_API, PEOPLE, list_document, person

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings"
ROOT = RECORDINGS.parents[1]


def recorded(name: str) -> list[dict[str, Any]]:
    captures: list[dict[str, Any]] = json.loads((RECORDINGS / name).read_text("utf-8"))
    return captures


@dataclass
class OpenGate:
    """A governor that lets everybody through, and remembers."""

    asked: list[tuple[str, bool]] = field(default_factory=list)
    learned: list[tuple[RateReading, bool]] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    too_old: set[int] = field(default_factory=set)

    async def acquire(self, *, lane: str, deep: bool) -> Permit:
        self.asked.append((lane, deep))
        return Permit(number=len(self.asked), lane=lane, deep=deep, taken_at=0.0, asked_at=0.0, waited_seconds=0.5)

    def is_good(self, permit: Permit) -> bool:
        return permit.number not in self.too_old

    async def sent(self, permit: Permit) -> None:
        self.written.append(permit.number)

    async def observe(self, permit: Permit, reading: RateReading, *, refused: bool) -> None:
        self.learned.append((reading, refused))

    async def aclose(self) -> None:
        pass


def client_of(transport: httpx.AsyncBaseTransport, governor: OpenGate | ProcessGovernor | None = None) -> PcoClient:
    return PcoClient(
        httpx.AsyncClient(transport=transport),
        credential=PersonalAccessToken("application-1", "hunter2"),
        governor=governor or OpenGate(),
    )


def answering(*answers: httpx.Response | Exception) -> httpx.MockTransport:
    """A transport that gives these answers, one after the other."""
    waiting = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        one = next(waiting)
        if isinstance(one, Exception):
            raise one
        return one

    return httpx.MockTransport(handle)


def page_answer(*records: object, **meta: object) -> httpx.Response:
    return httpx.Response(200, headers=JSON_API, json=list_document(records, **meta))


async def test_a_stream_follows_pcos_offsets_to_the_last_page() -> None:
    captures = recorded("people.json")
    transport = RecordedTransport(captures)
    pages = [
        page
        async for page in client_of(transport).stream_pages(
            PageRequest(path="/people/v2/people", api_version="2018-08-01", per_page=2), expected_type="Person"
        )
    ]
    assert [page.offset for page in pages] == [0, 2, 4]
    assert [record for page in pages for record in page.records] == [
        record for capture in captures for record in capture["body"]["data"]
    ]
    assert [page.total_count for page in pages] == [5, 5, 5]
    assert pages[0].processed_as_version == "2018-08-01"
    assert len(transport.requests) == 3


async def test_a_stream_begins_where_it_is_told_to() -> None:
    request = PageRequest(path="/people/v2/people", api_version="2018-08-01", per_page=2, offset=4)
    pages = client_of(RecordedTransport(recorded("people.json"))).stream_pages(request, expected_type="Person")
    assert [page.offset async for page in pages] == [4]


async def test_a_stream_advances_by_what_it_got_and_not_by_what_it_asked_for() -> None:
    transport = answering(page_answer(person("1"), next={"offset": 100}), page_answer(person("2")))
    request = PageRequest(path="/people/v2/people", api_version="2018-08-01", per_page=500)
    offsets = [page.offset async for page in client_of(transport).stream_pages(request, expected_type="Person")]
    assert offsets == [0, 100]


async def test_a_stream_refuses_a_loop() -> None:
    transport = answering(
        page_answer(person("1"), next={"offset": 100}), page_answer(person("2"), next={"offset": 100})
    )
    stream = client_of(transport).stream_pages(PEOPLE, expected_type="Person")
    assert (await anext(stream)).next_offset == 100
    with pytest.raises(errors.UnexpectedDocument, match="does not grow"):
        await anext(stream)


async def test_records_without_relationships_are_read() -> None:
    request = PageRequest(path="/services/v2/report_templates", api_version="2018-08-01", per_page=2)
    client = client_of(RecordedTransport(recorded("report_templates.json")))
    pages = [page async for page in client.stream_pages(request, expected_type="ReportTemplate")]
    assert sum(len(page.records) for page in pages) == pages[0].total_count
    assert pages[0].can_query_by is None


async def test_a_filtered_list_with_sideloads_is_asked_for_as_it_was_recorded() -> None:
    (capture,) = recorded("people_filtered.json")
    query = dict(httpx.URL(capture["url"]).params)
    where = Where(attribute="first_name", operator=None, value=query["where[first_name]"])
    request = PageRequest(
        path="/people/v2/people",
        api_version="2018-08-01",
        per_page=int(query["per_page"]),
        where=(where,),
        include=(query["include"],),
    )
    fetched = await client_of(RecordedTransport([capture])).fetch_page(request, expected_type="Person")
    assert len(fetched.page.included) == len(capture["body"]["included"]) > 0
    assert fetched.page.next_offset is None


async def test_a_gateways_404_and_an_empty_204_are_told_apart() -> None:
    client = client_of(RecordedTransport(recorded("gateway_404.json") + recorded("list_run_204.json")))
    with pytest.raises(errors.NotFound):
        await client.fetch_document("/bogus", api_version="2018-08-01")
    with pytest.raises(errors.UndecodableAnswer, match="empty"):
        await client.fetch_document("/people/v2/lists/900007/run", api_version="2018-08-01")


async def test_a_request_that_was_not_recorded_is_told_at_once() -> None:
    with pytest.raises(LookupError, match="not recorded: GET /people/v2/people"):
        await client_of(RecordedTransport([])).fetch_page(PEOPLE, expected_type="Person")


async def test_a_429_is_waited_out_and_counted() -> None:
    refusal = httpx.Response(429, headers={"retry-after": "-3"}, json={"errors": [{"code": "429"}]})
    gate = OpenGate()
    fetched = await client_of(answering(refusal, page_answer(person("1"))), gate).fetch_page(
        PEOPLE, expected_type="Person", lane="people.Person"
    )
    assert (fetched.requests, fetched.waited_seconds) == (2, 1.0)
    assert gate.asked == [("people.Person", False)] * 2
    assert [refused for _, refused in gate.learned] == [True, False]
    assert gate.learned[0][0].retry_after_seconds == 1.0


async def test_a_retry_after_holds_back_every_request_of_the_credential() -> None:
    now, slept = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    governor = ProcessGovernor(now=lambda: now[0], sleep=sleep)
    refusal = httpx.Response(429, headers={"retry-after": "7"}, json={})
    client = client_of(answering(refusal, page_answer(person("1"))), governor)
    fetched = await client.fetch_page(PEOPLE, expected_type="Person")
    assert sum(slept) == pytest.approx(fetched.waited_seconds)
    assert 7.0 <= fetched.waited_seconds <= 7.5


@dataclass
class Tracing(httpx.AsyncBaseTransport):
    """Tells what httpcore tells while it sends, up to `last`; then it answers, or fails if it did not send."""

    last: str = "receive_response_headers.complete"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for event in (
            "connection.connect_tcp.started",
            "connection.connect_tcp.complete",
            "http11.send_request_headers.started",
            "http11.send_request_headers.complete",
            "http11.receive_response_headers.started",
            "http11.receive_response_headers.complete",
        ):
            await request.extensions["trace"](event, {})
            if event.endswith(self.last):
                break
        if self.last != "receive_response_headers.complete":
            raise httpx.ReadError("cut")
        return page_answer(person("1"))


@pytest.mark.parametrize(
    ("last", "written"),
    [("connect_tcp.complete", []), ("send_request_headers.started", []), ("send_request_headers.complete", [1])],
)
async def test_a_permit_is_told_to_be_used_when_its_request_is_written_whether_there_is_an_answer_or_not(
    last: str, written: list[int]
) -> None:
    gate = OpenGate()
    with pytest.raises(errors.Unreachable):
        await client_of(Tracing(last), gate).fetch_page(PEOPLE, expected_type="Person")
    assert gate.written == written


async def test_a_request_whose_permit_became_too_old_before_it_was_written_takes_another() -> None:
    gate = OpenGate(too_old={1, 2})
    fetched = await client_of(Tracing(), gate).fetch_page(PEOPLE, expected_type="Person")
    assert (len(gate.asked), gate.written) == (3, [3])
    assert (fetched.requests, fetched.waited_seconds) == (1, 1.5)


async def test_endless_refusals_end_as_an_error() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(429, headers={"retry-after": "1"}, json={}))
    with pytest.raises(errors.RateLimited):
        await client_of(transport).fetch_page(PEOPLE, expected_type="Person")


@pytest.mark.parametrize(("offset", "deep"), [(30_000, False), (30_001, True)])
async def test_deep_offsets_take_a_deep_permit(offset: int, deep: bool) -> None:
    gate = OpenGate()
    request = PageRequest(path="/people/v2/people", api_version="2018-08-01", offset=offset)
    await client_of(answering(page_answer()), gate).fetch_page(request, expected_type="Person")
    assert gate.asked == [("", deep)]


def transport_errors() -> list[Callable[[], Exception]]:
    return [
        lambda: httpx.ConnectError("hunter2"),
        lambda: httpx.ReadTimeout("hunter2"),
        lambda: httpx.ReadError("hunter2"),
        lambda: httpx.RemoteProtocolError("hunter2"),
        lambda: httpx.PoolTimeout("hunter2"),
        lambda: httpx.DecodingError("hunter2"),
    ]


@pytest.mark.parametrize("make", transport_errors())
async def test_no_answer_is_told_without_the_libraries_words(make: Callable[[], Exception]) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        await client_of(answering(make())).fetch_page(PEOPLE, expected_type="Person")
    assert caught.value.where == "GET /people/v2/people"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [200, 401, 403, 404, 418, 500])
async def test_no_error_holds_the_credential(status: int) -> None:
    client = client_of(answering(httpx.Response(status, text="no json")))
    with pytest.raises(errors.PcoError) as caught:
        await client.fetch_page(PEOPLE, expected_type="Person")
    authorization = PersonalAccessToken("application-1", "hunter2").authorization()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
    for secret in ("hunter2", "application-1", authorization, authorization.split()[1]):
        assert secret not in told
        assert secret.encode() not in pickle.dumps(caught.value)
    assert "hunter2" not in repr(client)


def test_it_works_alone_without_prefect_and_postgres() -> None:
    script = (
        "import sys, pco_client, pco_client.testing\n"
        "foreign = {'prefect', 'sqlalchemy', 'sqlmodel', 'asyncpg', 'pydantic', 'pco_store', 'pco_catalog', 'tasks'}\n"
        "print(sorted(foreign & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
