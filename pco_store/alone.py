"""One at a time, whichever process: for work that must not be done twice at once, but may be done by anybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text

from pco_store.database import Database, end_session, unavailable_means_retry
from pco_store.errors import StoreUnavailable

SILENCE_SECONDS = 30
"""Whoever sleeps longer than that in the middle has lost it."""


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
        yield bool(is_alone)
    finally:
        with suppress(StoreUnavailable):
            await end_session(connection)
