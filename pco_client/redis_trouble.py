"""What an error of Redis means, in words, and whether it passes by itself."""

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError

from pco_client.redis_address import VARIABLE
from pco_network.trouble import Trouble, network_trouble

PROBE_SECONDS: Final = 3.0

_LASTING: Final = {
    "NOAUTH": f"Redis wants a password, and {VARIABLE} has none: redis://:password@host:6379/0",
    "HELLO must be called with the client already authenticated": (
        f"Redis wants a password, and {VARIABLE} has none: redis://:password@host:6379/0"
    ),
    "without any password configured": f"Redis has no password, but {VARIABLE} has one; leave it out",
    "no password is set": f"Redis has no password, but {VARIABLE} has one; leave it out",
    "DB index is out of range": f"Redis has no database of the number at the end of {VARIABLE}; most have only 0",
    "SELECT is not allowed": f"Redis has no database of the number at the end of {VARIABLE}; most have only 0",
    "protected mode": "Redis takes no connections from other machines (protected mode): set a password there",
    "WRONGTYPE": "Redis holds something else under a key of ours; give pco-sync a database of its own",
    "unknown command": "Redis does not know a command that is needed (EVALSHA, ZADD, HSET, ...); is it a Redis?",
}
_CLUSTER: Final = ("MovedError", "AskError", "ClusterCrossSlotError", "ClusterDownError")
_PASSING: Final = {
    "LOADING": "Redis is loading its data",
    "OOM": "Redis has no memory left (maxmemory)",
    "MISCONF": "Redis cannot save to its disk, and takes no writes",
    "max number of clients": "Redis has no connection left (maxclients)",
    "BUSY": "Redis is busy with a script",
}
RIGHTS: Final = (
    f"a right is missing for the Redis user of {VARIABLE} ({{which}}); docs/operations.md has the ACL that is needed"
)


class RedisRefused(Exception):  # noqa: N818 - named after what was observed
    """Redis will go on refusing until somebody changes the address, the user or the server."""


def redis_trouble(error: BaseException) -> Trouble:
    """What happened. That it is a replica lasts, except in the seconds in which a primary is replaced."""
    said = str(error)
    if isinstance(error, NoPermissionError) or "NOPERM" in said or "can't run this command" in said:
        which = "keys" if "keys" in said else "channels" if "channels" in said else "commands"
        return Trouble(words=RIGHTS.format(which=which), is_lasting=True)
    if type(error).__name__ in _CLUSTER or "CROSSSLOT" in said:
        return Trouble(words="it is a Redis Cluster, which is not supported; use a single Redis", is_lasting=True)
    if "READONLY" in said or "read only replica" in said:
        return Trouble(words=f"Redis is a replica, which may only be read; {VARIABLE} must lead to the primary")
    for words in (text for sign, text in _LASTING.items() if sign in said):
        return Trouble(words=words, is_lasting=True)
    for words in (text for sign, text in _PASSING.items() if sign in said):
        return Trouble(words=words)
    if isinstance(error, AuthenticationError):
        return Trouble(words=f"Redis does not accept the user and password of {VARIABLE}", is_lasting=True)
    if isinstance(error, InvalidResponse):
        return Trouble(words=f"what answers at {VARIABLE} is not a Redis", is_lasting=True)
    found = network_trouble(error)
    if found is None:
        return Trouble(words=f"Redis failed ({type(error).__name__})")
    words = found.words.replace("set SSL_CERT_FILE to", f"put ?ssl_ca_certs= into {VARIABLE}, with")
    return Trouble(words=f"Redis cannot be reached: {words} ({type(error).__name__})", is_lasting=found.is_lasting)


async def first_trouble(error: BaseException, redis: Redis) -> Trouble:
    """The same for a Redis that has never answered yet: then more is a mistake, and TLS is looked at, too."""
    trouble = redis_trouble(error)
    if trouble.is_lasting or not isinstance(error, RedisError | OSError):
        return trouble
    if "is a replica" in trouble.words:
        return Trouble(words=trouble.words, is_lasting=True)
    told: dict[str, Any] = redis.connection_pool.connection_kwargs
    host, port = told.get("host"), told.get("port")
    if host is None or port is None:
        return trouble
    is_tls = "SSL" in redis.connection_pool.connection_class.__name__
    if is_tls and await _answers_plainly(host, port):
        words = f"Redis speaks no TLS at this port; {VARIABLE} must begin with redis:// instead of rediss://"
        return Trouble(words=words, is_lasting=True)
    if not is_tls and "closed the connection" in trouble.words and await _speaks_tls(host, port):
        words = f"Redis wants TLS at this port; {VARIABLE} must begin with rediss:// instead of redis://"
        return Trouble(words=words, is_lasting=True)
    return trouble


async def _answers_plainly(host: str, port: int) -> bool:
    with suppress(OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                return await reader.readexactly(1) in (b"+", b"-")
            finally:
                writer.close()
    return False


async def _speaks_tls(host: str, port: int) -> bool:
    """Only whether there is TLS at all: nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError):
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.close()
            return True
    return False
