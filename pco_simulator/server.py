"""The simulator over real HTTP, run by uvicorn; log and access log are off."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pco_simulator.app import ABORT, Application


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with an ASGI extension to cut the connection: a fault that ASGI has no word for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    """uvicorn's server, which ends with code 0 when it is told to end; uvicorn raises the signal once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        yield

    def end(self) -> None:
        """Stop soon."""
        self.should_exit = True

    def end_with_stdin(self) -> None:
        """Stop when whoever holds the other end of stdin is gone, however he ended."""

        def read() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                self.end()

        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), read)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError` for a taken port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def serve(application: Application, listener: socket.socket, *, end_with_stdin: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; the first line of output says where."""
    config = uvicorn.Config(
        application,
        http=_Protocol,
        loop="auto",
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        interface="asgi3",
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)

    async def run() -> None:
        if end_with_stdin:
            server.end_with_stdin()
        host, port = listener.getsockname()[:2]
        ready = {"base_url": f"http://{host}:{port}", "pid": os.getpid()}
        sys.stdout.write(orjson.dumps(ready).decode() + "\n")
        sys.stdout.flush()
        await server.serve(sockets=[listener])

    with listener, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())
