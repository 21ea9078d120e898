"""Answers `GET /metrics` in a warm worker, beside its runs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from typing import Any, Final

import uvicorn
from prefect.settings import get_current_settings
from prometheus_client import CONTENT_TYPE_LATEST

from pco_store.errors import StoreError
from tasks.lifespan import opened_resources
from tasks.metrics.exposition import exposition
from tasks.metrics.readings import Readings
from tasks.settings import read_settings

PATIENCE_SECONDS: Final = 8.0
"""For the database; Prometheus itself waits for ten."""
PLAIN: Final = "text/plain; charset=utf-8"

Message = MutableMapping[str, Any]
Answer = tuple[int, str, bytes]
"""The status, the content type, the body."""


async def stay() -> None:
    """Until cancelled, serve the metrics on `PCO_SYNC_METRICS_PORT`, on the host of Prefect's health endpoint.

    Does nothing for ever if the port is not set. Raises `SettingsError`, and `OSError` if the port is taken.
    """
    settings = read_settings()
    if settings.metrics_port is None:
        await asyncio.Event().wait()
        return
    host = get_current_settings().worker.webserver.host
    async with opened_resources(settings) as resources:
        # Bound here: uvicorn would end the process if the port were taken.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with closing(socket.create_server((host, settings.metrics_port), family=family)) as listening:
            await _serve(Readings(resources.database), listening)


async def _serve(readings: Readings, listening: socket.socket) -> None:
    async def application(scope: Message, receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
        status, content_type, body = await _answer(scope["method"], scope["path"], readings)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    server = uvicorn.Server(
        uvicorn.Config(
            application, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


async def _answer(method: str, path: str, readings: Readings) -> Answer:
    if path != "/metrics":
        return 404, PLAIN, b"only /metrics is here\n"
    if method not in ("GET", "HEAD"):
        return 405, PLAIN, b"only GET\n"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reading, now = await readings.newest()
    except (StoreError, TimeoutError) as error:
        # The name of what is wrong only: this is read without a password.
        return 503, PLAIN, f"the ledger cannot be read: {type(error).__name__}\n".encode()
    return 200, CONTENT_TYPE_LATEST, exposition(reading, now)
