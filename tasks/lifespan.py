"""Opens and closes what a sync shares between its pages: the database, Redis, one HTTP client, the governors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from pco_client.client import PcoClient, user_agent
from pco_client.redis_governor import RedisGovernor
from pco_store.database import Database
from tasks.credentials import Connection, connection_for_org
from tasks.settings import SyncSettings


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What is open as long as the sync runs."""

    settings: SyncSettings
    database: Database
    redis: Redis
    http: httpx.AsyncClient

    def client_for(self, connection: Connection) -> PcoClient:
        """A client that shares the budget of its credential with every other process."""
        return PcoClient(
            self.http,
            credential=connection.credential,
            governor=RedisGovernor(self.redis, connection.credential.identity),
            base_url=connection.base_url,
            user_agent=user_agent(self.settings.contact),
        )


async def get_client_for_org(org_id: str, resources: Resources) -> PcoClient:
    """The client of one church. Raises `UnknownOrganizationError`."""
    return resources.client_for(await connection_for_org(org_id, resources.settings))


@asynccontextmanager
async def opened_resources(settings: SyncSettings) -> AsyncIterator[Resources]:
    """Everything opened for the block; connections are made when first used."""
    database = Database(settings.database_url.get_secret_value(), pool_size=min(settings.pages_in_flight, 8) + 2)
    redis: Redis = Redis.from_url(settings.redis_url.get_secret_value())
    limits = httpx.Limits(max_connections=settings.pages_in_flight, max_keepalive_connections=settings.pages_in_flight)
    try:
        async with httpx.AsyncClient(timeout=settings.request_timeout_seconds, limits=limits) as http:
            yield Resources(settings=settings, database=database, redis=redis, http=http)
    finally:
        await redis.aclose()
        await database.aclose()
