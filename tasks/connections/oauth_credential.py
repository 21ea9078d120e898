"""The credential of a church that is read by OAuth: the token in force, shared by everything this process reads of it.

All times are durations by the database's clock, counted on from when it was asked: a machine whose clock is wrong by
an hour renews in time.
"""

import asyncio
import copy
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from pco_client.auth import AccessToken, RenewedCredential, user_identity
from pco_client.errors import PcoError, RetryError, WaitError
from pco_store.connections.connections import StoredConnection
from pco_store.errors import StoreError, StoreUnavailable
from tasks.connections.renewing import Renewal
from tasks.logs import sync_logger

RENEWED_AT: Final = 0.8
"""Of an access token's life; up to a tenth of it later, so that processes do not all come at once."""
JITTER: Final = 0.1
YOUNG_SECONDS: Final = 60.0
"""A token that is younger is not renewed because of a 401: after a refresh PCO's servers may lag behind (#624)."""
LAG_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 5.0
"""After a failure nothing is requested for so long: whoever waits behind it fails with it, instead of one by one."""
LEAST_LEFT_SECONDS: Final = 10.0
"""A token that lives longer is used on when it is due and cannot be renewed now."""
NOT_THE_TOKEN: Final = ("PELICAN", "TRASH_PANDA")
"""PCO's words in a 401 for a product that the scopes or the user's rights leave out: no other token reads it (#845)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    token: AccessToken = field(repr=False)
    renew_at: float
    expires_at: float


class OAuthCredential(RenewedCredential):
    """One for each church and event loop. `open` it before it is used. Times are seconds of `now`."""

    def __init__(
        self,
        renewal: Renewal,
        *,
        young_seconds: float = YOUNG_SECONDS,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._renewal = renewal
        self._young_seconds = young_seconds
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._held: _Held | None = None
        self._identity = ""
        self.base_url = ""
        self._alone = asyncio.Lock()
        self._renewing: set[asyncio.Task[None]] = set()
        self._failed: tuple[float, PcoError | StoreError] | None = None
        self._renew_not_before = 0.0

    async def open(self) -> None:
        """Read who it is and what is in force. Raises `NeedsAuthorisation`, `WrongClientError`, `TokenKeysWrong`."""
        self._hold(await self._renewal.read())

    async def renew(self) -> None:
        """Renew the pair now, whatever its age. Raises as `Renewal.follow`."""

        async def step() -> None:
            found = await self._renewal.read()
            self._hold(await self._renewal.follow(found.version))

        await self._one_at_a_time(lambda: False, step)

    async def aclose(self) -> None:
        """Wait for a renewal on its way: its answer is not to be lost."""
        if self._renewing:
            await asyncio.wait(self._renewing)

    @property
    def identity(self) -> str:
        """That of the user in the church, whichever token is in force."""
        return self._identity

    async def current(self) -> AccessToken:
        """The token in force; from 80 % of its life on, its successor."""
        held = self._held
        if held is None or self._is_due(held):
            await self._one_at_a_time(self._is_in_force, self._catch_up)
            held = self._held
            assert held is not None, "a step that fails raises"
        return held.token

    async def after_refusal(self, refused: AccessToken, hint: str | None) -> bool:
        """The row is read first: another process may have renewed the pair, and with it revoked what we hold."""
        if hint in NOT_THE_TOKEN:
            return False

        def is_followed() -> bool:
            return self._held is not None and self._held.token.version != refused.version

        async def look() -> None:
            found = await self._renewal.read()
            if found.version == refused.version and found.age_seconds >= self._young_seconds:
                found = await self._renewal.follow(found.version)
            self._hold(found)

        if not is_followed():
            await self._one_at_a_time(is_followed, look)
        if not is_followed():
            await self._sleep(LAG_SECONDS)
        return True

    def _is_due(self, held: _Held) -> bool:
        now = self._now()
        return now >= held.renew_at and (now >= self._renew_not_before or now >= held.expires_at)

    def _is_in_force(self) -> bool:
        return self._held is not None and not self._is_due(self._held)

    async def _catch_up(self) -> None:
        """Take what another process has renewed, or renew it; what cannot be renewed now is used on while it lives."""
        found = await self._renewal.read()
        if self._has_to_be_renewed(found):
            try:
                found = await self._renewal.follow(found.version)
            except (RetryError, WaitError, StoreUnavailable) as error:
                if found.seconds_left < LEAST_LEFT_SECONDS:
                    raise
                sync_logger().warning("the tokens of %s are renewed later: %s", found.org_id, error)
                self._renew_not_before = self._now() + PAUSE_SECONDS
        self._hold(found)

    def _has_to_be_renewed(self, found: StoredConnection) -> bool:
        held = self._held
        if held is not None and held.token.version == found.version:
            return True  # it was due by our share of the jitter
        return found.seconds_left <= found.access_seconds * (1 - RENEWED_AT)

    async def _one_at_a_time(self, is_done: Callable[[], bool], step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A single flight. Whoever is cancelled leaves the step alone: a pair that was granted is to be stored."""
        async with self._alone:
            if is_done():
                return
            if self._failed is not None and self._now() < self._failed[0]:
                raise copy.copy(self._failed[1])
            self._failed = None
            task = asyncio.create_task(step(), name="renew tokens")
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)
            try:
                await asyncio.shield(task)
            except (PcoError, StoreError) as error:
                self._failed = (self._now() + PAUSE_SECONDS, error)
                raise

    def _hold(self, found: StoredConnection) -> None:
        self._identity = user_identity(found.organization_id, found.sub)
        self.base_url = found.base_url
        access = self._renewal.keys.open(found.access, sealed_with=found.sealed_with)
        now = self._now()
        share = RENEWED_AT + JITTER * self._chance()
        self._held = _Held(
            token=AccessToken(access, identity=self._identity, version=found.version),
            renew_at=now + found.seconds_left - (1 - share) * found.access_seconds,
            expires_at=now + found.seconds_left,
        )
