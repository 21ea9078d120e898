"""Takes what the consent page leads back to, on one of the fixed ports that are registered with the application.

Planning Center compares a redirect address letter by letter with the registered ones, so that a random port would be
refused.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pco_client.oauth import ConsentFailedError, ForeignRedirectError, read_redirect

PORTS: Final = (8127, 8128, 8129)
PATH: Final = "/callback"
LONGEST_REQUEST: Final = 16_384
REQUEST_SECONDS: Final = 10.0


class NoPortError(Exception):
    """All ports that may be registered are taken."""


def redirect_uri(port: int) -> str:
    """The address to register, for a port."""
    return f"http://127.0.0.1:{port}{PATH}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loopback:
    """A listener; `answer` is the address that the browser came back with, once it is the answer to our link."""

    redirect_uri: str
    answer: asyncio.Future[str]


@asynccontextmanager
async def listening(state: str) -> AsyncIterator[Loopback]:
    """Listen for the answer to the link with this `state`; what else comes is told so. Raises `NoPortError`."""
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, words = _judge(head, state, answer)
            writer.write(_page(status, words))
            await writer.drain()
        writer.close()

    for port in PORTS:
        try:
            server = await asyncio.start_server(handle, "127.0.0.1", port, limit=LONGEST_REQUEST)
        except OSError:
            continue
        async with server:
            yield Loopback(redirect_uri=redirect_uri(port), answer=answer)
        return
    raise NoPortError(
        f"the ports {', '.join(map(str, PORTS))} are all taken, and the consent page leads to no others; end what uses "
        "them, or connect with --no-browser"
    )


def _judge(head: bytes, state: str, answer: asyncio.Future[str]) -> tuple[HTTPStatus, str]:
    method, target, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
    if method != "GET" or target.partition("?")[0] != PATH:
        return HTTPStatus.NOT_FOUND, "There is nothing here."
    try:
        read_redirect(target, state=state)
    except ForeignRedirectError:
        return HTTPStatus.BAD_REQUEST, "This is not the answer to the link that is open."
    except ConsentFailedError:
        words = "No consent was given. You can close this window."
    else:
        words = "Thank you. You can close this window; the terminal shows how it goes on."
    if not answer.done():
        answer.set_result(target)
    return HTTPStatus.OK, words


def _page(status: HTTPStatus, words: str) -> bytes:
    body = f"<!DOCTYPE html><title>pco-sync</title><p>{words}</p>".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
