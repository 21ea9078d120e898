"""The simulator's HTTP surface, run by uvicorn."""

import asyncio
import json
import os
import socket
import sys
from typing import Any

import orjson
import uvicorn

from pco_simulator.app import Send, Simulator
from pco_simulator.control import PREFIX, control


class Surface:
    """Sends each request to the API or to the control paths."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """The ASGI entry point."""
        path: str = scope["path"]
        if not path.startswith(PREFIX):
            query = scope["query_string"].decode("latin-1")
            await self._simulator.answer(path, query, dict(scope["headers"]), send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, document = control(self._simulator, scope["method"], path, body)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": orjson.dumps(document)})


def serve(simulator: Simulator, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; the first line of output says where. Raises `OSError` for a taken port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    config = uvicorn.Config(
        Surface(simulator),
        log_level="critical",
        access_log=False,
        lifespan="off",
        interface="asgi3",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    ready = {"base_url": f"http://{host}:{listener.getsockname()[1]}", "pid": os.getpid()}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    server = uvicorn.Server(config)
    with listener:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))
