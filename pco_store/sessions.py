"""Whether a connection of ours is a session of Postgres' own, or shares one with others.

A pooler may lend a client another server connection for each transaction (PgBouncer's and Supavisor's transaction mode,
Neon's `-pooler` hosts). Then a session lock can be held by two clients at a time, `SET` changes somebody else's
connection, and a prepared statement is looked for where it is not.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg

ROUNDS: Final = 3
"""A pooler that has several connections to lend may by chance lend the same one again; hardly three times."""

_SHARED: Final = "PCSHR"

_LOCK: Final = "SELECT pg_advisory_lock({key})"
_STILL_OURS: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 1
                   AND classid = 0 AND objid = {key}) THEN
        RAISE 'pco-sync: another session answers' USING ERRCODE = '{shared}';
    END IF;
END $$
"""
_REFUSED_HERE: Final = """
DO $$ BEGIN
    IF pg_try_advisory_xact_lock({key}) THEN
        RAISE 'pco-sync: two connections have one session' USING ERRCODE = '{shared}';
    END IF;
END $$
"""
_TAKE_BACK: Final = """
SELECT pg_advisory_unlock({key}) FROM pg_locks
WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 1 AND classid = 0 AND objid = {key}
"""


async def have_own_sessions(connect: Callable[[], Awaitable[Any]]) -> bool:
    """Whether two connections are two sessions: what one has locked stays locked there, and is refused to the other.

    Nothing of it outlives the question: each step is one message and one transaction, so that a shared connection
    answers each of them, and a lock that was left on one is taken back.
    """
    first = await connect()
    try:
        second = await connect()
        try:
            return await _are_two_sessions(first, second)
        finally:
            await second.close()
    finally:
        await first.close()


async def _are_two_sessions(first: Any, second: Any) -> bool:
    key = secrets.randbelow(2**31)
    words = {"key": key, "shared": _SHARED}
    await first.execute(_LOCK.format(**words))
    try:
        for _ in range(ROUNDS):
            await first.execute(_STILL_OURS.format(**words))
            await second.execute(_REFUSED_HERE.format(**words))
    except asyncpg.PostgresError as error:
        if error.sqlstate != _SHARED:
            raise
        return False
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await first.execute(_TAKE_BACK.format(**words))
    return True
