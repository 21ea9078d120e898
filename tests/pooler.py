"""A pooler as PgBouncer is one: it lends its clients a server connection for a transaction, or for a session.

The wire protocol tells it enough: each answer ends with ReadyForQuery, which says whether a transaction is open. It
runs in a thread of its own, so that other processes can use it, too.
"""

import asyncio
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

_SSL_REQUEST = 80877103
_ENDS_A_QUESTION = (b"Q", b"S", b"F")


@dataclass(eq=False)
class _Server:
    """A connection to Postgres."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes


@dataclass(eq=False)
class _Loan:
    """What one client has borrowed: `owed` are the answers that are due, `is_asking` while a question is incomplete."""

    answers: asyncio.StreamWriter
    server: _Server | None = None
    pump: asyncio.Task[None] | None = None
    owed: int = 0
    is_asking: bool = False


@dataclass(eq=False)
class Pooler:
    """Lends the connections of one database. `round_robin`: the one that was idle longest, else the last one used."""

    socket: str
    database: str
    mode: Literal["transaction", "session", "statement"] = "transaction"
    servers: int = 2
    round_robin: bool = False
    port: int = 0
    lent: int = 0
    _idle: deque[_Server] = field(default_factory=deque)
    _freed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.database}"

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One client, from its first byte to its last."""
        loan = _Loan(answers=answers)
        try:
            await self._greet(client, answers)
            while True:
                kind = await client.readexactly(1)
                message = kind + await _body(client)
                if kind == b"X":
                    return
                if self.mode == "statement" and message[5:].startswith(b"BEGIN"):
                    answers.write(_refusal(b"transaction blocks not allowed in statement pooling mode"))
                    return
                if loan.server is None:
                    loan.server = await self._lend()
                    loan.pump = asyncio.create_task(self._answer(loan, loan.server))
                loan.owed += kind in _ENDS_A_QUESTION
                loan.is_asking = kind not in _ENDS_A_QUESTION
                loan.server.writer.write(message)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            answers.close()
            if loan.pump is not None:
                loan.pump.cancel()
            if loan.server is not None:
                await self._end(loan.server)

    async def _greet(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        startup = await _body(client)
        if struct.unpack("!i", startup[4:8])[0] == _SSL_REQUEST:
            answers.write(b"N")
            startup = await _body(client)
        names = startup[8:].split(b"\0")[::2]
        if b"options" in names:
            answers.write(_refusal(b"unsupported startup parameter: options"))
            raise ConnectionError
        server = await self._lend()
        answers.write(server.greeting + _message(b"K", struct.pack("!ii", 4711, id(client) % 2**31)))
        answers.write(_message(b"Z", b"I"))
        await self._take_back(server)

    async def _answer(self, loan: _Loan, server: _Server) -> None:
        """Pass on what the server says, until the transaction is over and nothing is owed any more."""
        while True:
            kind = await server.reader.readexactly(1)
            body = await _body(server.reader)
            loan.answers.write(kind + body)
            if kind != b"Z":
                continue
            loan.owed -= 1
            if body[4:] == b"I" and not loan.owed and not loan.is_asking and self.mode != "session":
                loan.server = None
                await self._take_back(server)
                return

    async def _lend(self) -> _Server:
        async with self._freed:
            await self._freed.wait_for(lambda: bool(self._idle) or self.lent < self.servers)
            self.lent += 1
            if self._idle and (not self.round_robin or self.lent + len(self._idle) > self.servers):
                return self._idle.popleft() if self.round_robin else self._idle.pop()
        return await self._connect()

    async def _take_back(self, server: _Server) -> None:
        async with self._freed:
            self.lent -= 1
            self._idle.append(server)
            self._freed.notify_all()

    async def _end(self, server: _Server) -> None:
        """Its client left in the middle of a transaction, or at the end of its session."""
        server.writer.close()
        async with self._freed:
            self.lent -= 1
            self._freed.notify_all()

    async def _connect(self) -> _Server:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        words = b"user\0postgres\0database\0" + self.database.encode() + b"\0client_encoding\0utf-8\0\0"
        writer.write(struct.pack("!ii", len(words) + 8, 196608) + words)
        greeting = b""
        while True:
            kind = await reader.readexactly(1)
            body = await _body(reader)
            if kind == b"Z":
                return _Server(reader=reader, writer=writer, greeting=greeting)
            if kind in b"RS":
                greeting += kind + body

    async def close(self) -> None:
        """End the idle connections."""
        for server in self._idle:
            server.writer.close()
            with suppress(ConnectionError):
                await server.writer.wait_closed()


async def _body(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)


def _refusal(words: bytes) -> bytes:
    """As PgBouncer refuses: its reason, and the end of the connection."""
    return _message(b"E", b"SFATAL\0C08P01\0M" + words + b"\0\0")


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@contextmanager
def running(pooler: Pooler) -> Iterator[Pooler]:
    """The pooler answers while the block runs."""
    started, ends = threading.Event(), threading.Event()

    async def work() -> None:
        clients: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            clients.add(task)
            await pooler.serve(reader, writer)
            clients.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        pooler.port = server.sockets[0].getsockname()[1]
        started.set()
        await asyncio.to_thread(ends.wait)
        server.close()
        for task in tuple(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await pooler.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),), name="pooler")
    thread.start()
    assert started.wait(20)
    try:
        yield pooler
    finally:
        ends.set()
        thread.join(20)
