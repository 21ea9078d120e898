"""One refresher at a time: the church's row, locked on a connection outside of the pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.connections.connections import StoredConnection, forget_connection, lock_connection
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database, end_session, unavailable_means_retry
from pco_store.errors import StoreError

LOCK_SECONDS: Final = 10.0
"""Whoever waits longer for the one who renews goes away, and comes again."""
ANSWER_SECONDS: Final = 10.0
"""Beside waiting for the lock: a Postgres that does not answer for longer has vanished with its host."""
SILENCE_SECONDS: Final = 30.0
"""Postgres takes the lock from a holder that is silent for longer, for it sleeps: PCO's answer takes 15 s at most."""

_SAVE: Final = """
    UPDATE sync.connections SET access_token_enc = :access, refresh_token_enc = :refresh,
        previous_refresh_enc = :previous,
        sealed_with = :sealed_with, access_seconds = :life_seconds,
        access_expires_at = CAST(:begun_at AS timestamptz) + make_interval(secs => :life_seconds),
        refresh_issued_at = :begun_at, version = version + 1, state = 'active', last_error = NULL,
        refreshed_by = :refreshed_by
    WHERE org_id = :org_id AND version = :version
    RETURNING version
"""
_MARK: Final = """
    UPDATE sync.connections SET state = 'needs_authorisation', last_error = :reason
    WHERE org_id = :org_id AND version = :version AND state = 'active' RETURNING version
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewalLock:
    """A locked row as it was found; what is written is committed at the end of `locked_for_renewal`."""

    session: AsyncConnection
    found: StoredConnection | None

    async def save(
        self,
        old: StoredConnection,
        keys: TokenKeys,
        *,
        access_token: str,
        refresh_token: str,
        life_seconds: float,
        refreshed_by: str,
    ) -> bool:
        """Store the pair that followed `old`; False if another one did. Its life begins before it was asked for."""
        previous: str | None = keys.open(old.refresh, sealed_with=old.sealed_with)
        if refresh_token == previous:  # Planning Center keeps it: what was before it stays, under the newest key
            previous = old.previous and keys.open(old.previous, sealed_with=old.sealed_with)
        values = {
            "org_id": old.org_id,
            "version": old.version,
            "access": keys.seal(access_token),
            "refresh": keys.seal(refresh_token),
            "previous": previous and keys.seal(previous),
            "sealed_with": keys.newest,
            "life_seconds": life_seconds,
            "begun_at": old.read_at,
            "refreshed_by": refreshed_by,
        }
        async with _answered():
            return await self.session.scalar(text(_SAVE), values) is not None

    async def mark_dead(self, old: StoredConnection, reason: str) -> bool:
        """The church has to be connected again; True for the one who says so first."""
        values = {"org_id": old.org_id, "version": old.version, "reason": reason}
        async with _answered():
            return await self.session.scalar(text(_MARK), values) is not None

    async def forget(self, org_id: str) -> None:
        """The church is not read by OAuth any more."""
        async with _answered():
            await forget_connection(self.session, org_id)


@asynccontextmanager
async def locked_for_renewal(
    database: Database, org_id: str, *, lock_seconds: float = LOCK_SECONDS, silence_seconds: float = SILENCE_SECONDS
) -> AsyncIterator[RenewalLock]:
    """The row is nobody else's in the block; its end commits, an error rolls back. Raises `StoreUnavailable`.

    The connection is outside of the pool, so that a token endpoint that is silent takes none from other churches. The
    lock is a transaction's: it ends with its holder, also where a pooler keeps the connection.
    """
    await database.has_own_sessions()
    with unavailable_means_retry():
        session = await database.sessions.connect()
    try:
        async with _answered(lock_seconds):
            await session.execute(text(f"SET LOCAL lock_timeout = {round(lock_seconds * 1000)}"))
            await session.execute(
                text(f"SET LOCAL idle_in_transaction_session_timeout = {round(silence_seconds * 1000)}")
            )
            found = await lock_connection(session, org_id)
        yield RenewalLock(session=session, found=found)
        async with _answered():
            await session.commit()
    finally:
        with suppress(StoreError):
            await end_session(session)


@asynccontextmanager
async def _answered(lock_seconds: float = 0.0) -> AsyncIterator[None]:
    """Raises `StoreUnavailable` also when nothing is answered: TCP would wait for a quarter of an hour, or for ever."""
    with unavailable_means_retry():
        async with asyncio.timeout(lock_seconds + ANSWER_SECONDS):
            yield
