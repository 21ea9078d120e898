"""Answers of many bytes: the rest of a large one is read in turn, and nobody reads what is too large to its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest

from pco_client import PageRequest, PcoClient, PersonalAccessToken
from pco_client.errors import AnswerTooLarge, Unreachable
from pco_client.sansio import LARGE_ANSWER, LARGEST_ANSWER
from tests.unit.pco_client.answers import JSON_API, list_document, person

PIECE = 64 * 1024
LIST = PageRequest(path="/people/v2/people", api_version="2018-08-01")
WITH_INCLUDES = PageRequest(path="/people/v2/people", api_version="2018-08-01", include=("emails",))


@dataclass
class Pieces(httpx.AsyncByteStream):
    """A body that is sent piece by piece, and knows how much of it was asked for; `stops_after` so many bytes."""

    body: bytes
    stops_after: int | None = None
    sent: int = 0
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), PIECE):
            if self.stops_after is not None and self.sent > self.stops_after:
                await asyncio.Event().wait()
            piece = self.body[start : start + PIECE]
            self.sent += len(piece)
            yield piece

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Turn:
    """Lets an answer go on when it is told to."""

    room: asyncio.Semaphore
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    found_room: bool = False

    async def __call__(self) -> None:
        self.begun.set()
        self.found_room = not self.room.locked()
        await self.may_go_on.wait()


def body_of(size: int) -> bytes:
    note = "x" * size
    return json.dumps(list_document([person("1", note=note)])).encode()


def client_of(pieces: Pieces, room: asyncio.Semaphore | None = None, answer_seconds: float = 60.0) -> PcoClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=JSON_API, stream=pieces))
    return PcoClient(
        httpx.AsyncClient(transport=transport),
        credential=PersonalAccessToken("application-1", "hunter2"),
        room=room,
        answer_seconds=answer_seconds,
    )


async def test_the_rest_of_a_large_answer_waits_for_its_turn_and_holds_no_place_meanwhile() -> None:
    pieces, room = Pieces(body_of(LARGE_ANSWER * 3)), asyncio.Semaphore(1)
    turn = Turn(room)
    reading = asyncio.create_task(client_of(pieces, room).fetch_page(LIST, expected_type="Person", on_large=turn))
    await turn.begun.wait()
    assert LARGE_ANSWER < pieces.sent <= LARGE_ANSWER + PIECE
    assert turn.found_room
    turn.may_go_on.set()
    assert len((await reading).page.records) == 1
    assert pieces.sent == len(pieces.body)
    assert pieces.closed


async def test_a_small_answer_waits_for_nobody() -> None:
    pieces, room = Pieces(body_of(LARGE_ANSWER // 2)), asyncio.Semaphore(1)
    turn = Turn(room)
    fetched = await client_of(pieces, room).fetch_page(LIST, expected_type="Person", on_large=turn)
    assert len(fetched.page.records) == 1
    assert not turn.begun.is_set()


async def test_a_page_with_includes_that_is_too_much_is_not_read_to_its_end() -> None:
    pieces = Pieces(body_of(LARGEST_ANSWER * 4))
    with pytest.raises(AnswerTooLarge):
        await client_of(pieces).fetch_page(WITH_INCLUDES, expected_type="Person")
    assert LARGEST_ANSWER < pieces.sent <= LARGEST_ANSWER + PIECE
    assert pieces.closed


async def test_a_list_of_great_records_is_read_whole_because_nothing_less_can_be_asked_for() -> None:
    pieces = Pieces(body_of(LARGEST_ANSWER * 2))
    assert len((await client_of(pieces).fetch_page(LIST, expected_type="Person")).page.records) == 1


@pytest.mark.parametrize("after", [0, LARGE_ANSWER], ids=["its beginning", "its rest, whose turn others wait for"])
async def test_an_answer_that_does_not_come_to_its_end_is_given_up(after: int) -> None:
    pieces, turn = Pieces(body_of(LARGE_ANSWER * 3), stops_after=after), asyncio.Semaphore(1)

    async def page() -> None:
        async with AsyncExitStack() as until_committed:
            client = client_of(pieces, answer_seconds=0.05)
            await client.fetch_page(
                LIST, expected_type="Person", on_large=lambda: until_committed.enter_async_context(turn)
            )

    with pytest.raises(Unreachable, match="ReadTimeout"):
        await asyncio.wait_for(page(), 10)
    assert pieces.closed
    assert not turn.locked()
