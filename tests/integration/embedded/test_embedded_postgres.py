"""The embedded PostgreSQL on loopback: nobody without a password, on the port that it had, or on none."""

import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from embedded.home import usable_home
from embedded.postgres import SOCKET_PORT, Postgres
from embedded.server_process import ServerStartError, free_port
from pco_store.churches.readers import Reader, make_reader
from pco_store.database import Database
from tests.integration.pco_store.churches.test_church_removal import fill_every_table
from tests.integration.pco_store.churches.test_readers import FORBIDDEN
from tests.integration.views import select


async def over_tcp(postgres: Postgres, database_url: str, user: str, password: str | None) -> asyncpg.Connection:
    name = database_url.split("@/")[1].split("?")[0]
    return await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user=user, password=password, database=name, ssl=False, passfile="/none"
    )


@pytest.fixture
async def reader(database: Database) -> Reader:
    """A reader of the church grace, beside another church."""
    for number, (org_id, name) in enumerate((("grace", "Ada"), ("hope", "Ben")), start=1):
        await fill_every_table(database, org_id, name, number)
    return await make_reader(database, "grace")


async def test_a_reader_comes_in_over_loopback_and_sees_its_church_only(
    postgres: Postgres, database_url: str, database: Database, reader: Reader
) -> None:
    assert await select(database, "SELECT 1 FROM sync.quarantine"), "there is something that it may not see"
    session = await over_tcp(postgres, database_url, reader.role_name, reader.password)
    assert await session.fetchval("SELECT inet_server_addr()::text") == "127.0.0.1/32"
    assert {row["org_id"] for row in await session.fetch("SELECT org_id FROM people.person")} == {"grace"}
    await session.execute("SET default_transaction_read_only = off")
    for statement in FORBIDDEN:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
            await session.execute(statement)
    await session.close()


async def test_nobody_comes_in_over_loopback_without_the_password(
    postgres: Postgres, database_url: str, reader: Reader
) -> None:
    for user, password in ((reader.role_name, None), (reader.role_name, "wrong"), ("postgres", None), ("postgres", "")):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
            await over_tcp(postgres, database_url, user, password)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no pg_hba"):
        await asyncpg.connect(
            host="127.0.0.1", port=postgres.port, user=reader.role_name, password=reader.password, ssl=False,
            database="postgres", server_settings={"replication": "true"},
        )  # fmt: skip


@pytest.fixture
def other(home: Path) -> Iterator[Postgres]:
    """Another PostgreSQL, which was not started yet."""
    server = Postgres(usable_home(home / "other"))
    yield server
    server.stop()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_it_comes_back_on_its_port_and_the_socket_keeps_its_name(
    other: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PCO_SYNC_POSTGRES_PORT", raising=False)
    other.start({"fsync": "off"})
    first = other.port
    assert first is not None
    assert listens(first)
    assert other.answers(), "on the socket"

    other.stop()
    assert other.port is None
    with socket.create_server(("127.0.0.1", first)):
        other.start({"fsync": "off"})
        second = other.port
        assert second not in (None, first)
        assert other.answers()

    chosen = free_port()
    monkeypatch.setenv("PCO_SYNC_POSTGRES_PORT", str(chosen))
    other.start({"fsync": "off"})
    assert other.port == chosen
    assert other.answers()

    monkeypatch.setenv("PCO_SYNC_POSTGRES_PORT", "off")
    other.start({"fsync": "off"})
    assert other.port is None
    assert not listens(chosen)
    assert other.answers()
    assert other.psql("postgres", "SHOW port") == str(SOCKET_PORT)


def test_a_port_that_is_wrong_or_taken_is_told(other: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("80", "yes", "70000", "5432.0"):
        monkeypatch.setenv("PCO_SYNC_POSTGRES_PORT", wrong)
        with pytest.raises(ServerStartError, match=r"a port from 1024 to 65535, or off"):
            other.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PCO_SYNC_POSTGRES_PORT", str(taken.getsockname()[1]))
        with pytest.raises(ServerStartError, match="another program listens on port"):
            other.start()
    assert not other.is_running
