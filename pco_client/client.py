"""PcoClient: the only file that sends. It is given an `httpx.AsyncClient`, and works without Prefect or Postgres."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import httpx

from pco_client.auth import AccessToken, Credential, RenewedCredential
from pco_client.documents import Json, Page
from pco_client.errors import CannotConnect, PcoError, RateLimited, Unreachable
from pco_client.governor import Governor, Permit, ProcessGovernor
from pco_client.rate_limit import DEEP_OFFSET, read_rate
from pco_client.sansio import (
    LARGE_ANSWER,
    LARGEST_ANSWER,
    HttpRequest,
    HttpResponse,
    PageRequest,
    build_document_request,
    build_list_request,
    read_document,
    read_list,
    refusal_hint,
)
from pco_network.proxies import proxy_variable
from pco_network.trouble import Trouble, network_trouble

BASE_URL: Final = "https://api.planningcenteronline.com"
ANSWER_SECONDS: Final = 60.0
"""Patience for one answer: for what a body begins with, and for the rest of a large one once it has its turn."""
REFUSALS_ENDURED: Final = 20
"""How many 429 one request waits out; then it is an error, because somebody else spends the whole budget."""
TOKENS_TRIED_AGAIN: Final = 2
"""How often a request is sent again after a 401: with a renewed token, and once more for a server that lags behind."""


@cache
def user_agent(contact: str = "") -> str:
    """PCO asks for the program and a contact; requests without a User-Agent meet HTML 403s (#1293, #1313)."""
    try:
        program = f"pco-sync/{version('pco-sync')}"
    except PackageNotFoundError:
        program = "pco-sync"
    return f"{program} ({contact})" if contact else program


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedPage:
    """A page and what it cost: requests sent, seconds waited for permits, and when the answered one was sent."""

    page: Page
    requests: int
    waited_seconds: float
    sent_at: datetime


class _PermitTooOldError(Exception):
    """The request waited so long for a connection that it needs another permit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Writing:
    """Told by httpx what happens to one request: it is written with a good permit, and the governor learns when."""

    governor: Governor
    permit: Permit

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpx's `trace` extension; events are named `http11.…` or `http2.…`."""
        step = event.partition(".")[2]
        if step == "send_request_headers.started" and not self.governor.is_good(self.permit):
            raise _PermitTooOldError
        if step == "send_request_headers.complete":
            await self.governor.sent(self.permit)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """How an answer is read: no more of it than a little over `most` bytes; `on_large` as in `fetch_page`."""

    most: int | None = None
    on_large: Callable[[], Awaitable[object]] | None = None


_WHOLE: Final = _Reading()


class PcoClient:
    """Reads PCO with one credential. Every request takes a permit of the governor first, then a place in `room`.

    `room` bounds the requests on their way, such as a semaphore; without it the client's pool of connections does.
    An answer that comes a few bytes at a time never times out for httpx: it is given up after `answer_seconds`.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        credential: Credential | RenewedCredential,
        governor: Governor | None = None,
        base_url: str = BASE_URL,
        user_agent: str = user_agent(),
        room: AbstractAsyncContextManager[object] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._http = http
        self._answer_seconds = answer_seconds
        self._room = room or nullcontext()
        self._credential = credential
        self._governor: Governor = governor or ProcessGovernor()
        self._base_url = base_url.rstrip("/")
        self._user_agent = user_agent

    async def fetch_page(
        self,
        request: PageRequest,
        *,
        expected_type: str,
        lane: str = "",
        on_large: Callable[[], Awaitable[object]] | None = None,
    ) -> FetchedPage:
        """One page of a list. A 429 is waited out; everything else that is not the page is raised (`errors.py`).

        `on_large` is awaited when the answer turns out to have more than `LARGE_ANSWER` bytes, before its rest is read.
        """

        def build(credential: Credential) -> HttpRequest:
            return build_list_request(
                request, base_url=self._base_url, credential=credential, user_agent=self._user_agent
            )

        response, requests, waited, sent_at = await self._send(
            build,
            where=f"GET {request.path}",
            lane=lane,
            deep=request.offset > DEEP_OFFSET,
            reading=_Reading(most=LARGEST_ANSWER if request.include else None, on_large=on_large),
        )
        page = read_list(response, request=request, expected_type=expected_type)
        return FetchedPage(page=page, requests=requests, waited_seconds=waited, sent_at=sent_at)

    async def stream_pages(self, request: PageRequest, *, expected_type: str, lane: str = "") -> AsyncIterator[Page]:
        """All pages from `request.offset` on, one after the other, following PCO's next offset.

        Front to back: records that are deleted meanwhile make later ones slip past. `pco_walks` is the exact way.
        """
        following: int | None = request.offset
        while following is not None:
            fetched = await self.fetch_page(replace(request, offset=following), expected_type=expected_type, lane=lane)
            yield fetched.page
            following = fetched.page.next_offset

    async def fetch_document(self, path: str, *, api_version: str, lane: str = "") -> Json:
        """A single-record document, such as `/people/v2` (the organization: does the credential reach the product?)."""

        def build(credential: Credential) -> HttpRequest:
            return build_document_request(
                path,
                api_version=api_version,
                base_url=self._base_url,
                credential=credential,
                user_agent=self._user_agent,
            )

        response, _, _, _ = await self._send(build, where=f"GET {path}", lane=lane, deep=False)
        return read_document(response, path=path)

    async def _send(
        self,
        build: Callable[[Credential], HttpRequest],
        *,
        where: str,
        lane: str,
        deep: bool,
        reading: _Reading = _WHOLE,
    ) -> tuple[HttpResponse, int, float, datetime]:
        waited, requests, tried_again = 0.0, 0, 0
        for _ in range(REFUSALS_ENDURED):
            await self._signing()  # a permit would grow old while a token is renewed
            permit = await self._governor.acquire(lane=lane, deep=deep)
            waited += permit.waited_seconds
            writing = _Writing(governor=self._governor, permit=permit)
            signing = await self._signing()
            sent_at = datetime.now(UTC)
            request = build(signing)
            try:
                answer, body = await self._exchange(request, writing, reading)
            except _PermitTooOldError:
                continue
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise unanswered(error, request.url, where=where) from None
            except httpx.DecodingError:
                raise Unreachable("the answer was cut off or garbled on its way", where=where) from None
            requests += 1
            refused = answer.status_code == 429
            response = HttpResponse(
                status=answer.status_code,
                headers={name.lower(): value for name, value in answer.headers.items()},
                body=body,
            )
            await self._governor.observe(permit, read_rate(response.headers), refused=refused)
            if response.status == 401 and tried_again < TOKENS_TRIED_AGAIN:
                tried_again += 1
                if await self._is_worth_another(signing, response):
                    continue
            if not refused:
                return response, requests, waited, sent_at
        raise RateLimited(
            f"refused {requests} times although every wait was kept",
            retry_after_seconds=20.0,
            where=where,
            status=429,
        )

    async def _exchange(
        self, request: HttpRequest, writing: _Writing, reading: _Reading
    ) -> tuple[httpx.Response, bytes]:
        """The answer, and its body: whole, or more of it than `reading` has any use for."""
        body = bytearray()
        async with AsyncExitStack() as answering:
            async with self._room, self._patience():
                answer = await answering.enter_async_context(
                    self._http.stream(
                        request.method, request.url, headers=dict(request.headers), extensions={"trace": writing.trace}
                    )
                )
                pieces = await answering.enter_async_context(aclosing(_pieces_of(answer)))
                is_large = await _read(pieces, body, LARGE_ANSWER)
            if is_large:
                if reading.on_large is not None and answer.status_code == httpx.codes.OK:
                    await reading.on_large()  # without a place in `room`: who is waited for may need one
                async with self._patience():
                    await _read(pieces, body, reading.most)
            return answer, bytes(body)

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """For so long the block may take. Raises `httpx.ReadTimeout`."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                yield
        except TimeoutError:
            raise httpx.ReadTimeout("the answer did not come to its end") from None

    async def _signing(self) -> Credential:
        held = self._credential
        return await held.current() if isinstance(held, RenewedCredential) else held

    async def _is_worth_another(self, refused: Credential, response: HttpResponse) -> bool:
        held = self._credential
        if not isinstance(held, RenewedCredential) or not isinstance(refused, AccessToken):
            return False
        return await held.after_refusal(refused, refusal_hint(response))


def _pieces_of(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    pieces = answer.aiter_bytes()
    assert isinstance(pieces, AsyncGenerator)  # so that it can be closed before its end
    return pieces


async def _read(pieces: AsyncIterator[bytes], body: bytearray, most: int | None) -> bool:
    """Read on until there are more than `most` bytes, and say whether there are; None: to the end."""
    async for piece in pieces:
        body += piece
        if most is not None and len(body) > most:
            return True
    return False


def unanswered(error: Exception, url: str, *, where: str) -> PcoError:
    """What an error of httpx means: no answer, now or as long as nobody changes a setting."""
    trouble = network_trouble(error) or Trouble(words="the connection failed")
    proxy = proxy_variable(url, os.environ)
    way = f" through the proxy of {proxy}" if proxy else ""
    kind = CannotConnect if trouble.is_lasting else Unreachable
    return kind(f"no answer from PCO{way}: {trouble.words} ({type(error).__name__})", where=where)
