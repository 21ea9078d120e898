"""`connect --oauth`: a church's consent, whose church it is, and where its tokens go."""

import asyncio
import getpass
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from deployments.connecting.consent import Consent, consent_by_browser, consent_by_hand, has_browser
from deployments.connecting.loopback import PORTS, redirect_uri
from deployments.ended import print_document
from deployments.exit_codes import DONE, INCOMPLETE
from deployments.interrupts import interrupts
from deployments.operations.connect import (
    WrongOrganizationError,
    address_of,
    check_same_church,
    organization_read_by,
)
from deployments.parameters import WrongArgumentError, products_with_scope
from deployments.prefect_trouble import check_prefect, shown
from deployments.provisioning.provision import find_block, save_oauth_church, save_oauth_client
from deployments.terminal import print_words
from deployments.transaction import transaction
from pco_client.auth import AccessToken
from pco_client.client import user_agent
from pco_client.errors import BadRequest, ClientRefused, PcoError, StopError
from pco_client.oauth import (
    ConsentFailedError,
    ConsentingUser,
    OAuthClient,
    TokenPair,
    scope_of,
    scopes_of,
)
from pco_client.token_endpoint import TokenEndpoint
from pco_store.churches.wall import admit_churches
from pco_store.connections.connections import NewConnection, find_connection, store_connection
from pco_store.errors import StoreError
from pco_store.schema_check import check_schema
from tasks.connections.opening import token_keys
from tasks.credentials import CLIENT_BLOCK, TOKENS_PAGE, find_oauth_client, is_live
from tasks.settings import SyncSettings, read_settings

LAG_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What was typed. `organization`: Planning Center's id of the church that is meant, if it was named."""

    org_id: str
    products: tuple[str, ...]
    organization: str | None
    with_browser: bool

    @property
    def chosen(self) -> tuple[str, ...]:
        """The products that are to be opened."""
        return self.products or products_with_scope()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    """What is known before anybody is asked: the application, and the church's id in Planning Center."""

    settings: SyncSettings
    client: OAuthClient | None
    organization: str | None


def ask_and_connect_by_oauth(wish: Wish, base_url: str | None, console: Console, *, as_json: bool) -> int:
    """Have the church consent, and store its tokens; the exit code: incomplete if a chosen product was not granted.

    Raises `WrongArgumentError`, `PrefectTroubleError`, `ConsentFailedError`, `NoPortError`, `WrongOrganizationError`,
    and the errors of client, store and settings.
    """
    address = address_of(wish.org_id, base_url)
    if not is_live(address):
        warning = f"the consent will be requested from {shown(address)}, not from Planning Center"
        print_words(console, warning)
    with interrupts.parting("interrupted; nothing was stored"):
        check_prefect()
        prepared = interrupts.run(_prepare(wish, address))
        client = prepared.client or _ask_for_client(console)
        if wish.with_browser and has_browser():
            consent = interrupts.run(consent_by_browser(address, client, scopes_of(wish.chosen), console))
        else:
            consent = consent_by_hand(address, client, scopes_of(wish.chosen), console)
    user, pair = interrupts.run(_connect(wish, address, prepared, client, consent))
    if prepared.client is None:
        interrupts.run(save_oauth_client(client))
    return _report(wish, user, pair, console, as_json=as_json)


async def _prepare(wish: Wish, address: str) -> _Prepared:
    """Everything that can be wrong before somebody consents in vain."""
    settings = read_settings()
    token_keys(settings)
    if settings.church_of_token == wish.org_id:
        raise WrongArgumentError(
            f"PCO_SYNC_ORG_ID, PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET name a token of {wish.org_id}, which wins "
            "over a consent; unset them"
        )
    async with transaction() as connection:
        await check_schema(connection)
        stored = await find_connection(connection, wish.org_id)
    if stored is None:
        known = await _organization_of_token(wish, address)
    else:
        known = stored.organization_id if stored.base_url == address else None
    organization = wish.organization or known
    if known not in (None, organization):
        raise WrongOrganizationError(
            f"{wish.org_id} is organization {known}, and --organization names {organization}; give that one a name of "
            f"its own, or remove the other one first: pco-sync churches remove {wish.org_id} --yes"
        )
    return _Prepared(settings=settings, client=await find_oauth_client(settings), organization=organization)


async def _organization_of_token(wish: Wish, address: str) -> str | None:
    """Whose token the church has been read with, if it has been; one that is dead tells nothing."""
    block = await find_block(wish.org_id)
    if block is None or block.oauth or block.base_url != address:
        return None
    try:
        organization = await organization_read_by(block.connection().credential, address)
    except StopError as error:
        if wish.organization is not None:
            return None
        raise WrongOrganizationError(
            f"{wish.org_id} was read with a token that is not accepted any more, so that nobody can tell whether the "
            f"same church consents ({error}); name it: --organization and Planning Center's id of the church"
        ) from None
    return str(organization.get("id"))


def _ask_for_client(console: Console) -> OAuthClient:
    print_words(
        console,
        f"The OAuth application of all churches is registered at {TOKENS_PAGE}, with these redirect addresses: "
        + ", ".join(redirect_uri(port) for port in PORTS),
    )
    try:
        client_id = console.input("Client ID: ").strip()
        secret = getpass.getpass("Secret (not shown; empty for a public application): ").strip()
    except EOFError:
        raise ConsentFailedError(
            "the input ended; without a terminal set PCO_SYNC_CLIENT_ID and PCO_SYNC_CLIENT_SECRET"
        ) from None
    if not client_id:
        raise WrongArgumentError("an OAuth application has a client id")
    return OAuthClient(client_id=client_id, secret=secret)


async def _connect(
    wish: Wish, address: str, prepared: _Prepared, client: OAuthClient, consent: Consent
) -> tuple[ConsentingUser, TokenPair]:
    """The code for tokens, whose they are, and the row. Tokens that are not stored are revoked."""
    settings = prepared.settings
    async with httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        endpoint = TokenEndpoint(http, base_url=address, client=client, user_agent=user_agent(settings.contact))
        try:
            pair = await endpoint.exchange(consent.code, redirect_uri=consent.redirect_uri, verifier=consent.verifier)
        except ClientRefused as error:
            raise ConsentFailedError(f"{error}: {_where_from(prepared)}; nothing was stored") from None
        try:
            user = await _who(endpoint, pair)
            if prepared.organization not in (None, user.organization_id):
                raise WrongOrganizationError(
                    f"{user.organization_name} consented (organization {user.organization_id}), and {wish.org_id} is "
                    f"organization {prepared.organization}; nothing was stored. Log in to the right church, or give "
                    "this one a name of its own"
                )
            if prepared.organization == wish.organization:  # known from nothing but what was typed
                token = AccessToken(pair.access_token, identity="connect")
                await check_same_church(wish.org_id, user.organization_id, token, address)
            await _store(wish, address, settings, client, user, pair)
        except BaseException:
            with suppress(PcoError, StoreError):
                if not await _is_stored(wish.org_id, settings, pair):
                    await endpoint.revoke(pair.refresh_token or pair.access_token)
            raise
    await save_oauth_church(wish.org_id, address)
    return user, pair


async def _is_stored(org_id: str, settings: SyncSettings, pair: TokenPair) -> bool:
    """Whether the pair was committed though that failed or was interrupted. Raises the store's errors: nobody knows."""
    async with transaction() as connection:
        stored = await find_connection(connection, org_id)
    if stored is None:
        return False
    return token_keys(settings).open(stored.access, sealed_with=stored.sealed_with) == pair.access_token


def _where_from(prepared: _Prepared) -> str:
    """What to look at if the application's id or secret is wrong."""
    if prepared.settings.client_id:
        return "they are those of PCO_SYNC_CLIENT_ID and PCO_SYNC_CLIENT_SECRET"
    return f"they are those of the block pco-oauth-client/{CLIENT_BLOCK}" if prepared.client else "try again"


async def _who(endpoint: TokenEndpoint, pair: TokenPair) -> ConsentingUser:
    token = AccessToken(pair.access_token, identity="connect")
    try:
        return await endpoint.who(token)
    except BadRequest:  # for a moment a new token may be unknown (#624)
        await asyncio.sleep(LAG_SECONDS)
        return await endpoint.who(token)


async def _store(
    wish: Wish, address: str, settings: SyncSettings, client: OAuthClient, user: ConsentingUser, pair: TokenPair
) -> None:
    if pair.refresh_token is None:
        raise BadRequest("PCO granted no refresh token", where="POST /oauth/token")
    new = NewConnection(
        org_id=wish.org_id,
        organization_id=user.organization_id,
        sub=user.user_id,
        client_id=client.client_id,
        base_url=address,
        scopes=pair.scopes or (),
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        life_seconds=pair.life_seconds,
        connected_by="pco-sync connect",
    )
    async with transaction() as connection:
        await admit_churches(connection, [wish.org_id])
        await store_connection(connection, new, token_keys(settings))


def _report(wish: Wish, user: ConsentingUser, pair: TokenPair, console: Console, *, as_json: bool) -> int:
    """What was granted beside what was chosen."""
    granted = set(pair.scopes if pair.scopes is not None else scopes_of(wish.chosen))
    missing = [one for one in wish.chosen if scope_of(one) not in granted]
    code = INCOMPLETE if missing else DONE
    block = f"pco-credentials/{wish.org_id}"
    if as_json:
        print_document(
            {
                "org_id": wish.org_id,
                "name": user.organization_name,
                "organization_id": user.organization_id,
                "block": block,
                "granted": sorted(granted),
                "missing": missing,
                "exit_code": code,
            }
        )
        return code
    table = Table(title="What the church has granted", title_justify="left")
    for column in ("product", "scope", "granted"):
        table.add_column(column)
    for one in wish.chosen:
        table.add_row(one, str(scope_of(one)), "no" if one in missing else "yes")
    console.print(table)
    print_words(
        console,
        f"connected: {user.organization_name} (organization {user.organization_id}) as {wish.org_id}; its tokens are "
        f"encrypted in the database, and the block {block} says so",
    )
    if missing:
        print_words(console, f"not granted: {', '.join(missing)}; they are left out of every sync")
    return code
