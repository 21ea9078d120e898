"""Opens and closes what syncs share in a process: the database, Redis, one HTTP client, a governor per credential."""

import asyncio
import gc
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

import httpx
from redis.asyncio import Redis

from pco_client.client import PcoClient, user_agent
from pco_client.oauth import OAuthClient
from pco_client.redis_address import redis_address
from pco_client.redis_governor import RedisGovernor
from pco_network.proxies import prepare_proxies
from pco_store.clock import database_clock
from pco_store.database import Database
from tasks.connections.oauth_credential import OAuthCredential
from tasks.connections.opening import build_credential
from tasks.credentials import ByOAuth, Connection, connection_for_org
from tasks.patient_client import PatientClient
from tasks.receipts import ReceiptStorage, receipt_storage
from tasks.recovery.signs_of_life import SignsOfLife
from tasks.retries import delays_of
from tasks.settings import SyncSettings

CREDENTIALS_KEPT_SECONDS: Final = 60.0
CLOCK_KEPT_SECONDS: Final = 300.0
LARGE_PAGES: Final = 1
"""So many pages of more than `LARGE_ANSWER` bytes are held at a time, from the rest of their body to their commit."""
TOKEN_REQUESTS_AT_ONCE: Final = 20
"""For all churches, beside the connections that pages use: a token endpoint that is silent takes none of those."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What is open as long as any sync of this process runs.

    `pco_ahead` is what to add to the database's clock to have PCO's, by church, as it was last found to be wrong.
    """

    settings: SyncSettings
    database: Database
    redis: Redis
    http: httpx.AsyncClient
    token_http: httpx.AsyncClient
    signs: SignsOfLife
    pco_ahead: defaultdict[str, timedelta] = field(default_factory=lambda: defaultdict(timedelta))
    large_pages: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_PAGES))
    _closing: AsyncExitStack
    _governors: dict[str, RedisGovernor] = field(default_factory=dict)
    _rooms: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _connections: dict[str, tuple[float, Connection]] = field(default_factory=dict)
    _oauth: dict[tuple[str, OAuthClient], OAuthCredential] = field(default_factory=dict)
    _receipts: list[ReceiptStorage] = field(default_factory=list)
    _clock: list[tuple[float, timedelta]] = field(default_factory=list)
    _receipts_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def client_for(self, connection: Connection) -> PcoClient:
        """A client that shares the budget of its credential with every other sync, here and in other processes."""
        identity = connection.credential.identity
        return PcoClient(
            self.http,
            credential=connection.credential,
            governor=self._governors.setdefault(identity, RedisGovernor(self.redis, identity)),
            base_url=connection.base_url,
            user_agent=user_agent(self.settings.contact),
            room=self._rooms.setdefault(identity, asyncio.Semaphore(self.settings.pages_in_flight)),
            answer_seconds=self.settings.request_timeout_seconds,
        )

    @property
    def delays(self) -> list[float]:
        """The waits between the tries of a request or a step that fails."""
        return delays_of(self.settings)

    def patient_client(self, client: PcoClient, *, lane: str, within: float | None = None) -> PatientClient:
        """For requests beside the pages of a list. `within`: seconds after which none is tried again."""
        return PatientClient(client=client, delays=self.delays, lane=lane, within=within)

    async def oauth_credential(self, by: ByOAuth) -> OAuthCredential:
        """The credential of a church, one for all its syncs of this process. Raises as `OAuthCredential.open`."""
        known = self._oauth.get((by.org_id, by.client))
        if known is None:
            known = build_credential(
                by.org_id, by.client, settings=self.settings, database=self.database, http=self.token_http
            )
            self._oauth[by.org_id, by.client] = known
            self._closing.push_async_callback(known.aclose)
        await known.open()
        return known

    async def clock_offset(self) -> timedelta:
        """What to add to this machine's clock to have the database's; asked again every few minutes.

        Raises `StoreUnavailable`.
        """
        now = time.monotonic()
        if not self._clock or now - self._clock[0][0] > CLOCK_KEPT_SECONDS:
            async with self.database.transaction() as connection:
                theirs = await database_clock(connection)
            self._clock[:] = [(now, theirs - datetime.now(UTC))]
        return self._clock[0][1]

    def forget_credentials(self, org_id: str) -> None:
        """PCO refused them: the next child reads the block again, for somebody may have put in better ones."""
        self._connections.pop(org_id, None)

    async def receipts(self) -> ReceiptStorage:
        """Where Prefect keeps the pages' receipts."""
        async with self._receipts_lock:
            if not self._receipts:
                storage = await receipt_storage(self.settings.redis_url)
                self._closing.push_async_callback(storage.aclose)
                self._receipts.append(storage)
        return self._receipts[0]


@dataclass(kw_only=True)
class _Shared:
    resources: Resources
    users: int = 0


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Shared]] = WeakKeyDictionary()


async def get_client_for_org(org_id: str, resources: Resources, *, kept: bool = False) -> PcoClient:
    """The client of one church. Raises `UnknownOrganizationError`, `NoOAuthClientError`, `NeedsAuthorisation`.

    With `kept` its block is not read again for a minute: a fan-out would ask Prefect for it with every child.
    """
    now = time.monotonic()
    known = resources._connections.get(org_id)
    if not kept or known is None or now - known[0] > CREDENTIALS_KEPT_SECONDS:
        found = await connection_for_org(org_id, resources.settings)
        if isinstance(found, ByOAuth):
            credential = await resources.oauth_credential(found)
            found = Connection(credential=credential, base_url=credential.base_url)
        known = (now, found)
        resources._connections[org_id] = known
    return resources.client_for(known[1])


@asynccontextmanager
async def opened_resources(settings: SyncSettings) -> AsyncIterator[Resources]:
    """The resources of these settings: opened by the first sync of this event loop, closed by the last one."""
    known = _shared.setdefault(asyncio.get_running_loop(), [])
    shared = next((one for one in known if one.resources.settings == settings), None)
    if shared is None:
        shared = _Shared(resources=_open(settings))
        known.append(shared)
    shared.users += 1
    try:
        async with shared.resources.signs.shown():
            yield shared.resources
    finally:
        shared.users -= 1
        if not shared.users:
            known.remove(shared)
            await shared.resources._closing.aclose()


@cache
def _leave_imports_alone() -> None:
    """What exists when a process begins its first sync, the modules above all, need not be searched for garbage.

    Each full collection would look at 190,000 objects of Prefect and others, for a tenth of a second.
    """
    gc.freeze()


def _open(settings: SyncSettings) -> Resources:
    """Connections are made when first used."""
    _leave_imports_alone()
    prepare_proxies(os.environ)
    database = Database(
        settings.database_url.get_secret_value(),
        pool_size=min(settings.pages_in_flight, 8) + 2,
        silence_seconds=settings.lease_seconds,
    )
    redis: Redis = Redis.from_url(redis_address(settings.redis_url.get_secret_value()))
    # Each church has so many at most, and none waits for a connection that another one's silence holds.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=settings.pages_in_flight)
    authorities = httpx.create_ssl_context()  # for both: to read them from disk takes longer than a request
    http = httpx.AsyncClient(timeout=settings.request_timeout_seconds, limits=limits, verify=authorities)
    token_http = httpx.AsyncClient(
        timeout=settings.request_timeout_seconds,
        limits=httpx.Limits(max_connections=TOKEN_REQUESTS_AT_ONCE),
        verify=authorities,
    )
    closing = AsyncExitStack()
    closing.push_async_callback(database.aclose)
    closing.push_async_callback(redis.aclose)
    closing.push_async_callback(http.aclose)
    closing.push_async_callback(token_http.aclose)
    signs = SignsOfLife(database)
    closing.push_async_callback(signs.aclose)
    return Resources(
        settings=settings,
        database=database,
        redis=redis,
        http=http,
        token_http=token_http,
        signs=signs,
        _closing=closing,
    )
