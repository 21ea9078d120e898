"""A Postgres that vanishes with its host in the middle of a renewal is noticed: nothing says so, it only is silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from sqlalchemy import make_url

from embedded.postgres import Postgres
from pco_store.connections import renewal_lock
from pco_store.connections.renewal_lock import locked_for_renewal
from pco_store.database import Database
from pco_store.errors import StoreUnavailable
from tests.connections.consenting import Connected
from tests.databases import opened


@dataclass(eq=False)
class Way:
    """Passes on what clients and Postgres say, until a client says `last`: that and all that follows is lost."""

    socket: str
    last: bytes
    is_cut: bool = False

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One client, until it gives up."""
        server, requests = await asyncio.open_unix_connection(self.socket)
        back = asyncio.create_task(self._pass_on(server, answers))
        await self._pass_on(client, requests)
        back.cancel()
        answers.close()
        requests.close()

    async def _pass_on(self, said: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while words := await said.read(65536):
                self.is_cut = self.is_cut or self.last in words
                if not self.is_cut:
                    to.write(words)


@asynccontextmanager
async def behind(way: Way, url: str) -> AsyncIterator[Database]:
    """The database at the other end of it."""
    async with await asyncio.start_server(way.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"postgresql://postgres@127.0.0.1:{port}/{make_url(url).database}") as database:
            yield database


async def mark_dead(database: Database, org_id: str) -> None:
    async with locked_for_renewal(database, org_id, lock_seconds=0.5) as lock:
        assert lock.found is not None
        await lock.mark_dead(lock.found, "it was refused")


@pytest.mark.parametrize("last", [b"lock_timeout", b"UPDATE sync.connections", b"COMMIT"])
async def test_a_postgres_that_vanishes_in_a_renewal_is_away(
    church: Connected, connections_url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    monkeypatch.setattr(renewal_lock, "ANSWER_SECONDS", 0.5)
    way = Way(socket=str(postgres.data / ".s.PGSQL.5432"), last=last)
    async with asyncio.timeout(20), behind(way, connections_url) as database:
        with pytest.raises(StoreUnavailable, match="it did not answer in time"):
            await mark_dead(database, church.org_id)
    assert way.is_cut
    assert (await church.row()).state == "active"
