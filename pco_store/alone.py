"""One at a time, whichever process: for work that must not be done twice at once, but may be done by anybody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database, end_session, unavailable_means_retry
from pco_store.errors import StoreError

SILENCE_SECONDS: Final = 30
"""Whoever sleeps longer than that in the middle has lost it."""
PING_SECONDS: Final = 10.0


@asynccontextmanager
async def alone(database: Database, name: str) -> AsyncIterator[bool]:
    """Whether nobody else is in a block of this name. Raises `StoreUnavailable`.

    The lock is Postgres's and a transaction's: it ends with its holder, also where a pooler keeps the connection.
    """
    await database.has_own_sessions()
    with unavailable_means_retry():
        connection = await database.sessions.connect()
    try:
        with unavailable_means_retry():
            await connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{SILENCE_SECONDS}s'"))
            is_alone = await connection.scalar(
                text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
            )
        if not is_alone:
            yield False
            return
        async with _kept_awake(connection):
            yield True
    finally:
        with suppress(StoreError):
            await end_session(connection)


@asynccontextmanager
async def _kept_awake(connection: AsyncConnection) -> AsyncIterator[None]:
    """Long work keeps the lock; only a sleeping process loses it. What ends the connection does not end the work."""

    async def ping() -> None:
        with suppress(StoreError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                with unavailable_means_retry():
                    await connection.execute(text("SELECT 1"))

    task = asyncio.create_task(ping(), name="lock")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
