"""Takes over churches that have consented elsewhere: their token pairs, as another program of yours holds them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from deployments.churches.adding import WrongChurchesError
from deployments.operations.connect import WrongOrganizationError, address_of, check_same_church
from deployments.provisioning.provision import save_oauth_church
from deployments.transaction import transaction
from flows.parameters import check_org_id
from pco_client.auth import AccessToken
from pco_client.client import user_agent
from pco_client.errors import PcoError
from pco_client.oauth import ConsentingUser
from pco_client.token_endpoint import TokenEndpoint
from pco_store.churches.names import rename_church
from pco_store.churches.wall import admit_churches
from pco_store.connections.connections import NewConnection, store_connection
from pco_store.errors import ConnectedTwice
from tasks.connections.opening import token_keys
from tasks.credentials import NoOAuthClientError, find_oauth_client
from tasks.settings import read_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentedChurch:
    """A church that has consented to the configured application. The access token must still be good: it says which
    church this is, without using up the refresh token.
    """

    org_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    display_name: str | None = None
    base_url: str | None = None


async def add_consented(churches: Sequence[ConsentedChurch]) -> dict[str, str]:
    """Check all of them with Planning Center, then store the pairs; the organizations' names by org_id.

    From then on nothing else may renew these tokens, or one of the two loses the church. Each pair is renewed at its
    first use. Raises `WrongChurchesError` before anything is stored, `NoOAuthClientError`, `TokenKeysWrong`, and the
    errors of Prefect and the store.
    """
    settings = read_settings()
    keys, client = token_keys(settings), await find_oauth_client(settings)
    if client is None:
        raise NoOAuthClientError(
            "set PCO_SYNC_CLIENT_ID and PCO_SYNC_CLIENT_SECRET: to which application did they consent?"
        )
    troubles, users = [], dict[str, ConsentingUser]()
    async with httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        for church in churches:
            address = address_of(church.org_id, church.base_url)
            endpoint = TokenEndpoint(http, base_url=address, client=client, user_agent=user_agent(settings.contact))
            try:
                user = await _whose(church, endpoint)
                token = AccessToken(church.access_token, identity="connect")
                await check_same_church(church.org_id, user.organization_id, token, address)
                users[church.org_id] = user
            except (ValueError, PcoError, WrongOrganizationError) as error:
                troubles.append(f"{church.org_id}: {error}")
    if troubles:
        raise WrongChurchesError("\n".join(troubles))
    try:
        async with transaction() as connection:
            for church in churches:
                user = users[church.org_id]
                new = _connection(church, user, client_id=client.client_id)
                await admit_churches(connection, [church.org_id])
                await store_connection(connection, new, keys)
                await rename_church(connection, church.org_id, church.display_name or user.organization_name)
    except ConnectedTwice as error:
        raise WrongChurchesError(str(error)) from None
    for church in churches:
        await save_oauth_church(church.org_id, address_of(church.org_id, church.base_url))
    return {one.org_id: one.display_name or users[one.org_id].organization_name for one in churches}


async def _whose(church: ConsentedChurch, endpoint: TokenEndpoint) -> ConsentingUser:
    check_org_id(church.org_id)
    return await endpoint.who(AccessToken(church.access_token, identity="connect"))


def _connection(church: ConsentedChurch, user: ConsentingUser, *, client_id: str) -> NewConnection:
    return NewConnection(
        org_id=church.org_id,
        organization_id=user.organization_id,
        sub=user.user_id,
        client_id=client_id,
        base_url=address_of(church.org_id, church.base_url),
        scopes=church.scopes,
        access_token=church.access_token,
        refresh_token=church.refresh_token,
        life_seconds=1.0,
        connected_by="add_consented",
    )
