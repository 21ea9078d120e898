"""Ends a church's connection: its tokens are revoked at Planning Center, if that can be, and deleted in any case."""

import httpx

from pco_client.client import user_agent
from pco_client.errors import PcoError
from pco_client.token_endpoint import TokenEndpoint
from pco_store.connections.connections import StoredConnection
from pco_store.connections.renewal_lock import locked_for_renewal
from pco_store.database import Database
from pco_store.errors import TokenKeysWrong
from tasks.connections.opening import token_keys
from tasks.credentials import find_oauth_client
from tasks.settings import SyncSettings

REVOKED = "revoked"


async def revoke_and_forget(org_id: str, database: Database, settings: SyncSettings) -> str | None:
    """`revoked`, or why Planning Center was not told so; None if the church has no tokens.

    Whoever renews them meanwhile is waited for, so that no pair is granted behind our back. Raises `StoreUnavailable`,
    which leaves everything as it was.
    """
    async with locked_for_renewal(database, org_id) as lock:
        if lock.found is None:
            return None
        told = await _revoke(lock.found, settings)
        await lock.forget(org_id)
    return told


def in_words(told: str) -> str:
    """What `revoke_and_forget` has told, for people."""
    if told == REVOKED:
        return "its OAuth tokens are revoked at Planning Center, and deleted"
    return (
        f"its OAuth tokens are deleted, and not revoked at Planning Center ({told}): the church can disconnect the "
        "application there, under Integrations"
    )


async def _revoke(found: StoredConnection, settings: SyncSettings) -> str:
    client = await find_oauth_client(settings)
    if client is None or client.client_id != found.client_id:
        return f"the OAuth application {found.client_id}, which they belong to, is not configured here"
    try:
        keys = token_keys(settings)
        tokens = [
            keys.open(sealed, sealed_with=found.sealed_with) for sealed in (found.refresh, found.previous) if sealed
        ]
        async with httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
            agent = user_agent(settings.contact)
            endpoint = TokenEndpoint(http, base_url=found.base_url, client=client, user_agent=agent)
            for token in tokens:
                await endpoint.revoke(token)
    except (PcoError, TokenKeysWrong) as error:
        return str(error)
    return REVOKED
