"""The simulator as a raw ASGI application: what travels, and when."""

import asyncio
import gzip
import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from typing import Any, Final

import orjson

from pco_simulator.answering.answers import OLDEST_VERSION, Header
from pco_simulator.answering.versions import processed_as
from pco_simulator.churches import Churches
from pco_simulator.control import PREFIX, control
from pco_simulator.oauth.provider import PREFIX as OAUTH
from pco_simulator.rate_window import Verdict
from pco_simulator.simulator import Reply, Request, Simulator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ABORT: Final = "pco_simulator.abort"
"""The ASGI extension that ends a connection at once; the server of `server.py` has it."""

_UNCOUNTED: Final = Verdict(limit=0, count=0, period=1, retry_after=None)
"""No rate limit of the provider is known."""


def build_app(*simulators: Simulator) -> Application:
    """The ASGI application: the API, and the control paths beside it, which are neither counted nor delayed.

    Of several simulators each lets other applications in, and these say whom they ask.
    """
    churches = Churches(simulators)
    chance = random.Random(churches.first.world.seed)

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(PREFIX):
            status, document = control(churches, scope["method"], path, await _body(receive))
            await _send_whole(send, status, [(b"content-type", b"application/json")], _encoded(document))
            return
        headers = dict(scope["headers"])
        query = scope["query_string"].decode("latin-1")
        if path.startswith(OAUTH):
            answer = churches.provider.answer(scope["method"], path, query, headers, await _body(receive))
            await _deliver(
                churches.first, Reply(answer=answer, verdict=_UNCOUNTED, n=0), OLDEST_VERSION, scope, receive, send
            )
            return
        simulator = churches.asked(headers)
        reply = simulator.reply(Request(method=scope["method"], path=path, query=query, headers=headers))
        version = processed_as(path, headers.get(b"x-pco-api-version", OLDEST_VERSION))
        if simulator.settings.latency:
            await asyncio.sleep(simulator.settings.latency * chance.uniform(0.5, 1.5))
        await _deliver(simulator, reply, version, scope, receive, send)

    return application


async def _deliver(
    simulator: Simulator, reply: Reply, version: bytes, scope: Message, receive: Receive, send: Send
) -> None:
    answer, body = reply.answer, reply.answer.body
    if answer.delivery == "reset":
        _abort(scope)
        return
    if answer.delivery == "hang":
        while (await receive())["type"] != "http.disconnect":
            continue
        return
    asked = dict(scope["headers"])
    headers = _headers(reply, version)
    headers.append((b"date", format_datetime(simulator.world.now(), usegmt=True).encode()))
    if answer.left_out is not None:
        headers = [one for one in headers if not one[0].startswith(answer.left_out)]
    if simulator.settings.gzip and body and b"gzip" in asked.get(b"accept-encoding", b""):
        body = gzip.compress(body, compresslevel=1)
        headers.append((b"content-encoding", b"gzip"))
    if answer.delivery == "cut":
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        _abort(scope)
        return
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await _send_whole(send, answer.status, headers, body)


def _headers(reply: Reply, version: bytes) -> list[Header]:
    answer, verdict = reply.answer, reply.verdict
    headers = [(b"content-type", answer.content_type), *answer.headers]
    if answer.origin == "edge":
        return headers
    period = b"%d seconds" if answer.origin == "gateway" and answer.status != 429 else b"%d"
    headers += (
        (b"x-request-id", b"5e1f0000-0000-4000-8000-%012x" % reply.n),
        (b"x-pco-api-request-rate-limit", b"%d" % verdict.limit),
        (b"x-pco-api-request-rate-period", period % verdict.period),
        (b"x-pco-api-request-rate-count", b"%d" % (answer.rate_count or verdict.count)),
    )
    if answer.origin == "product":
        headers += (
            (b"x-pco-api-auth-method", b"HTTPBasic"),
            (b"x-pco-api-processor", b"SIMULATOR"),
            (b"x-pco-api-processed-as-version", answer.processed_as or version),
        )
    return headers


def _abort(scope: Message) -> None:
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is None:
        raise ConnectionResetError("the simulated connection was reset")
    abort()


async def _send_whole(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _encoded(document: Any) -> bytes:
    """As JSON. Recorded records may hold numbers that only the slow way can write."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document).encode()


async def _body(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)
