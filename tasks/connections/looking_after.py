"""What connections need beside syncs: a refresh token lives 90 days, and keys change."""

import asyncio
from typing import Final

from pco_store.connections.connections import (
    connections_of_older_keys,
    idle_connections,
    seal_again,
)
from tasks.connections.opening import token_keys
from tasks.credentials import ByOAuth, connection_for_org
from tasks.lifespan import Resources
from tasks.logs import sync_logger

IDLE_SECONDS: Final = 28 * 86400.0
"""A pair is renewed at this age though nothing reads the church, so that every pair is younger than 30 days."""
MOST_AT_A_TIME: Final = 200
AT_ONCE: Final = 4


async def look_after_connections(resources: Resources) -> None:
    """Renew idle pairs, and encrypt with the newest key.

    One church's trouble is logged, and does not keep the others from being looked after. Raises `StoreUnavailable`.
    """
    async with resources.database.transaction() as connection:
        idle = await idle_connections(connection, idle_seconds=IDLE_SECONDS, most=MOST_AT_A_TIME)
    room = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(_renew(resources, one.org_id, room) for one in idle))
    if resources.settings.token_keys is not None:
        await _seal_with_newest_key(resources)


async def _renew(resources: Resources, org_id: str, room: asyncio.Semaphore) -> None:
    async with room:
        try:
            found = await connection_for_org(org_id, resources.settings)
            if isinstance(found, ByOAuth):
                credential = await resources.oauth_credential(found)
                await credential.renew()
                sync_logger().info("%s: its tokens were idle and are renewed", org_id)
        except Exception as error:  # noqa: BLE001 - one church's trouble, whatever it is, is not the others'
            sync_logger().warning("the tokens of %s are not kept alive: %s: %s", org_id, type(error).__name__, error)


async def _seal_with_newest_key(resources: Resources) -> None:
    keys = token_keys(resources.settings)
    async with resources.database.transaction() as connection:
        found = await connections_of_older_keys(connection, keys, most=MOST_AT_A_TIME)
    for org_id in found:
        try:
            async with resources.database.transaction() as connection:
                await seal_again(connection, org_id, keys)
        except Exception as error:  # noqa: BLE001 - the same
            sync_logger().warning("the tokens of %s keep their key: %s: %s", org_id, type(error).__name__, error)
