"""Builds the credential of a church that is read by OAuth, from what a process has open."""

from collections.abc import Mapping
from typing import Final

import httpx
from prefect.events import emit_event

from pco_client.client import user_agent
from pco_client.oauth import OAuthClient
from pco_client.token_endpoint import TokenEndpoint
from pco_store.connections.connections import ConnectionState
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from pco_store.errors import TokenKeysWrong
from tasks.connections.oauth_credential import OAuthCredential
from tasks.connections.renewing import Renewal
from tasks.logs import sync_logger
from tasks.settings import SyncSettings

DEAD: Final = "pco-sync.connection.needs-authorisation"
"""The event of a church that has to be connected again; the process that marks it as such emits it, and no other."""


def token_keys(settings: SyncSettings) -> TokenKeys:
    """The keys that tokens are encrypted with. Raises `TokenKeysWrong`."""
    return TokenKeys.parse(None if settings.token_keys is None else settings.token_keys.get_secret_value())


def not_opened(states: Mapping[str, ConnectionState], settings: SyncSettings) -> dict[str, str]:
    """The churches whose tokens the keys of this environment do not open, and why."""
    found = {}
    for org_id, state in states.items():
        try:
            token_keys(settings).check(state.sealed_with)
        except TokenKeysWrong as error:
            found[org_id] = str(error)
    return found


def build_credential(
    org_id: str, client: OAuthClient, *, settings: SyncSettings, database: Database, http: httpx.AsyncClient
) -> OAuthCredential:
    """The credential, still to be opened. `http` is not the client of the pages. Raises `TokenKeysWrong`."""

    def endpoint(base_url: str) -> TokenEndpoint:
        return TokenEndpoint(http, base_url=base_url, client=client, user_agent=user_agent(settings.contact))

    return OAuthCredential(
        Renewal(
            org_id=org_id,
            database=database,
            keys=token_keys(settings),
            client=client,
            endpoint=endpoint,
            on_dead=announce_dead,
        )
    )


def announce_dead(org_id: str, client_id: str, reason: str) -> None:
    """In the log, and as an event for automations."""
    sync_logger().error("%s has to be connected again: %s", org_id, reason)
    emit_event(
        DEAD,
        resource={"prefect.resource.id": f"pco-sync.connection.{org_id}", "prefect.resource.name": org_id},
        related=[
            {"prefect.resource.id": f"pco-sync.oauth-client.{client_id}", "prefect.resource.role": "oauth-client"}
        ],
        payload={"org_id": org_id, "reason": reason, "again": f"pco-sync connect {org_id} --oauth"},
    )
