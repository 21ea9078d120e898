"""Renews a church's token pair: one refresher at a time, committed before it is used, and nothing is lost on the way.

Planning Center may revoke the old pair in the moment of the refresh, or when the new one is first used. What is done
here is right for both (docs/adr/0025-oauth-tokens-in-postgres.md).
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final

from pco_client.errors import GrantRefused, NeedsAuthorisation
from pco_client.oauth import OAuthClient, TokenPair
from pco_client.token_endpoint import TokenEndpoint
from pco_store.connections.connections import ACTIVE, StoredConnection, find_connection
from pco_store.connections.renewal_lock import LOCK_SECONDS, SILENCE_SECONDS, RenewalLock, locked_for_renewal
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from pco_store.errors import StoreUnavailable
from tasks.flow_run import owner

PREVIOUS_GOOD_SECONDS: Final = 2 * 3600.0
"""The pair before is tried once more when the current one is refused, if it was followed not longer ago."""
RESCUE_DELAYS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0)
"""Waits between attempts to store a pair that PCO has granted, while the database is away."""


class WrongClientError(Exception):
    """The church consented to another OAuth application than the one that is configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a refresher waits for the lock, and how long its lock survives if it falls asleep, in seconds."""

    lock_seconds: float = LOCK_SECONDS
    silence_seconds: float = SILENCE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The renewal of one church's pair. `on_dead` is told the church, its application and the reason: once, and again
    if the database did not store that.

    `endpoint` is that of an address: a refresh token is sent nowhere but where it was granted.
    """

    org_id: str
    database: Database
    keys: TokenKeys
    client: OAuthClient
    endpoint: Callable[[str], TokenEndpoint]
    on_dead: Callable[[str, str, str], None]
    patience: Patience = field(default_factory=Patience)

    async def read(self) -> StoredConnection:
        """What is committed by now. Raises `NeedsAuthorisation`, `WrongClientError`, `StoreUnavailable`."""
        async with self.database.transaction() as connection:
            return self._usable(await find_connection(connection, self.org_id))

    async def follow(self, version: int) -> StoredConnection:
        """The connection with a pair that is newer than `version`: another process's, or one that is fetched here.

        Raises as `read`, and `ClientRefused`, `TokenKeysWrong`; with `RetryError`, `WaitError` and `StoreUnavailable`
        the old pair stays, and the next attempt begins with it.
        """
        try:
            await self._attempt(version, is_refused=False)
        except GrantRefused:
            await self._attempt(version, is_refused=True)
        return await self.read()

    async def _attempt(self, version: int, *, is_refused: bool) -> None:
        old, pair = None, None
        try:
            async with self._locked() as lock:
                old = self._usable(lock.found)
                if old.version != version:
                    return
                pair = await self._fetch_after_refusal(old) if is_refused else await self._fetch(old, old.refresh)
                if pair is not None:
                    await self._save(lock, old, pair)
                elif await lock.mark_dead(old, _why_dead(old)):  # told before the commit: a process may end between
                    self.on_dead(old.org_id, old.client_id, _why_dead(old))
        except StoreUnavailable:
            if old is None or pair is None:
                raise
            await self._rescue(old, pair)

    async def _fetch(self, old: StoredConnection, sealed: str) -> TokenPair:
        token = self.keys.open(sealed, sealed_with=old.sealed_with)
        return await self.endpoint(old.base_url).refresh(token)

    async def _fetch_after_refusal(self, old: StoredConnection) -> TokenPair | None:
        """By the pair before, if that is young enough: the current one may never have been used."""
        if old.previous is None or old.age_seconds > PREVIOUS_GOOD_SECONDS:
            return None
        try:
            return await self._fetch(old, old.previous)
        except GrantRefused:
            return None

    async def _save(self, lock: RenewalLock, old: StoredConnection, pair: TokenPair) -> None:
        refresh = pair.refresh_token or self.keys.open(old.refresh, sealed_with=old.sealed_with)
        await lock.save(
            old,
            self.keys,
            access_token=pair.access_token,
            refresh_token=refresh,
            life_seconds=pair.life_seconds,
            refreshed_by=owner(),
        )

    async def _rescue(self, old: StoredConnection, pair: TokenPair) -> None:
        """The commit failed, or its answer was lost: we may have slept for so long that the lock was taken from us.

        Unless another pair followed the old one meanwhile, ours is stored: perhaps it is the only one that PCO knows.
        """
        for delay in (*RESCUE_DELAYS, None):
            try:
                async with self._locked() as lock:
                    if lock.found is not None and lock.found.version == old.version:
                        await self._save(lock, old, pair)
                return
            except StoreUnavailable:
                if delay is None:
                    raise
                await asyncio.sleep(delay)

    def _locked(self) -> AbstractAsyncContextManager[RenewalLock]:
        patience = self.patience
        return locked_for_renewal(
            self.database,
            self.org_id,
            lock_seconds=patience.lock_seconds,
            silence_seconds=patience.silence_seconds,
        )

    def _usable(self, found: StoredConnection | None) -> StoredConnection:
        again = f"pco-sync connect {self.org_id} --oauth"
        if found is None:
            raise NeedsAuthorisation(
                f"{self.org_id} is not connected by OAuth any more; if it has a token now, start the sync again, else "
                f"connect it: {again}"
            )
        if found.state != ACTIVE:
            raise NeedsAuthorisation(f"{self.org_id} has to be connected again ({again}): {found.last_error}")
        if found.client_id != self.client.client_id:
            raise WrongClientError(
                f"{self.org_id} consented to the OAuth application {found.client_id}, and {self.client.client_id} is "
                f"configured; configure that one, or connect the church again: {again}"
            )
        return found


def _why_dead(old: StoredConnection) -> str:
    issued = old.refresh_issued_at.astimezone(UTC)
    return (
        f"Planning Center does not renew the tokens of {issued:%Y-%m-%d %H:%M} UTC any more: the access was revoked, "
        "or the database was restored from a backup whose tokens were used up since"
    )
