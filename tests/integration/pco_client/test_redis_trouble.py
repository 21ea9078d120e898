"""A Redis that refuses is told at once and in words; one that is away is waited for."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from embedded.server_process import free_port
from pco_client.governor import GovernorUnavailable
from pco_client.redis_governor import RedisGovernor
from pco_client.redis_trouble import RedisRefused
from tasks.receipts import ReceiptStorage
from tests.certificates import self_signed

NO_RIGHT = "a right is missing for the Redis user of PCO_SYNC_REDIS_URL"


async def asked(url: str) -> None:
    """Ask for a permit; waiting is no option."""

    async def no_wait(_: float) -> None:
        raise AssertionError("it waits")

    async with Redis.from_url(url) as redis:
        governor = RedisGovernor(redis, "somebody", sleep=no_wait)
        await governor.acquire(lane="l", deep=False)


async def refusal(url: str) -> str:
    """What is said at once, to who asks for a permit and to who looks for a receipt."""
    storage = ReceiptStorage(connection_url=url, key_ttl=9)
    with pytest.raises(RedisRefused) as caught:
        await asked(url)
    assert "hush" not in str(caught.value)
    with pytest.raises(RedisRefused) as also:
        await storage.awrite_path("pco-sync/page/x", b"")
    await storage.aclose()
    assert str(also.value) == str(caught.value)
    return str(caught.value)


def with_user(url: str, credentials: str) -> str:
    return f"redis://{credentials}@{url.split('@')[1]}"


async def test_a_wrong_password_a_missing_one_and_a_wrong_user_are_told_at_once(redis_url: str) -> None:
    not_accepted = "Redis does not accept the user and password of PCO_SYNC_REDIS_URL"
    assert await refusal(with_user(redis_url, ":hush")) == not_accepted
    assert await refusal(with_user(redis_url, "nobody:hush")) == not_accepted
    assert "Redis wants a password, and PCO_SYNC_REDIS_URL has none" in await refusal(with_user(redis_url, ""))


async def test_a_database_that_is_not_there_is_told_at_once(redis_url: str) -> None:
    assert "has no database of the number at the end" in await refusal(redis_url.replace("/0", "/99"))


async def test_tls_to_a_port_without_it_is_told_at_once(redis_url: str) -> None:
    assert "must begin with redis:// instead of rediss://" in await refusal(
        redis_url.replace("redis://", "rediss://") + "?socket_connect_timeout=0.5"
    )


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        ("+@all ~other:*", f"{NO_RIGHT} (keys)"),
        ("+@read ~*", f"{NO_RIGHT} (commands)"),
        ("+@all -zadd -set ~*", f"{NO_RIGHT} (commands)"),
    ],
)
async def test_a_user_without_rights_is_told_at_once(redis_url: str, rights: str, told: str) -> None:
    with BlockingRedis.from_url(redis_url) as redis:
        redis.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">hush", *rights.split())
        try:
            assert told in await refusal(with_user(redis_url, "weak:hush"))
        finally:
            redis.execute_command("ACL", "DELUSER", "weak")


@pytest.fixture
def replica(redis_url: str) -> Iterator[str]:
    """A Redis that may only be read."""
    with BlockingRedis.from_url(redis_url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", free_port())
        yield redis_url
        redis.execute_command("REPLICAOF", "NO", "ONE")


async def test_a_replica_is_told_at_once(replica: str) -> None:
    assert "PCO_SYNC_REDIS_URL must lead to the primary" in await refusal(replica)


async def test_a_primary_that_becomes_a_replica_is_waited_for(redis_url: str) -> None:
    """While another takes its place, that is what it says."""
    waits: list[float] = []

    async def until_it_is_back(seconds: float) -> None:
        waits.append(seconds)
        await redis.replicaof("NO", "ONE")

    async with Redis.from_url(redis_url) as redis:
        governor = RedisGovernor(redis, "somebody", sleep=until_it_is_back)
        await governor.acquire(lane="l", deep=False)
        await redis.replicaof("127.0.0.1", free_port())
        await governor.acquire(lane="l", deep=False)
    assert len(waits) == 1


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of something that says this to each message, or closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while message := await reader.read(10_000):
            if not answer:
                break
            writer.write(answer * max(message.count(b"*"), 1))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    server.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers at PCO_SYNC_REDIS_URL is not a Redis"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "it is a Redis Cluster, which is not supported; use a single Redis"),
        (b"-ERR Client sent AUTH, but no password is set\r\n", "Redis has no password, but PCO_SYNC_REDIS_URL has one"),
    ],
)
async def test_another_kind_of_server_is_told_at_once(answer: bytes, told: str) -> None:
    async with answering(answer) as url:
        assert told in await refusal(url)


async def test_a_port_that_wants_tls_is_told_at_once(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    assert "must begin with rediss:// instead of redis://" in await refusal(f"redis://:hush@{address}")
    assert "put ?ssl_ca_certs= into PCO_SYNC_REDIS_URL" in await refusal(f"rediss://:hush@{address}")
    server.close()


@pytest.mark.parametrize("answer", [b"-LOADING Redis is loading the dataset in memory\r\n", b"-BUSY script\r\n", b""])
async def test_what_passes_is_waited_for(answer: bytes) -> None:
    waits: list[float] = []
    now = [0.0]

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    async with answering(answer) as url, Redis.from_url(url) as redis:
        governor = RedisGovernor(redis, "somebody", now=lambda: now[0], sleep=wait)
        with pytest.raises(GovernorUnavailable) as caught:
            await governor.acquire(lane="l", deep=False)
    assert sum(waits) > 30
    assert "hush" not in str(caught.value)
