"""Check a church's token with PCO before it is stored."""

import getpass
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.interrupts import interrupts
from deployments.parameters import WrongArgumentError
from deployments.prefect_trouble import check_prefect, shown
from deployments.provisioning.provision import save_credentials
from deployments.terminal import print_words
from deployments.transaction import transaction
from pco_catalog.catalog import load_catalog
from pco_client.auth import Credential, PersonalAccessToken, RenewedCredential
from pco_client.client import PcoClient, user_agent
from pco_client.errors import NotFound, SkipError, Unauthorized
from pco_client.governor import ProcessGovernor
from pco_store.churches.people import some_people
from pco_store.churches.wall import admit_churches
from pco_store.connections.connections import find_connection
from pco_store.database import Database
from pco_store.schema_check import check_schema
from tasks.connections.oauth_credential import NOT_THE_TOKEN
from tasks.connections.revoking import in_words, revoke_and_forget
from tasks.credentials import TOKENS_PAGE, ReservedOrganizationError, check_not_reserved, is_live
from tasks.settings import PCO_BASE_URL, read_settings

RECOGNISED_BY: Final = 20
"""People of a church, those who have been there longest; some of them may have been deleted since."""


class WrongOrganizationError(Exception):
    """The credential is of another church than the one that is meant. Nothing was stored."""


def ask_and_connect(org_id: str, base_url: str | None, console: Console, *, as_json: bool) -> int:
    """Ask for the token where the environment has none, and store it; the exit code.

    Raises `WrongArgumentError`, `WrongOrganizationError`, `PrefectTroubleError`, the client's errors, and `EOFError`
    without a terminal.
    """
    address = address_of(org_id, base_url)
    if not is_live(address):
        warning = f"the token will be sent to {shown(address)}, not to Planning Center"
        print_words(console, warning)
    check_prefect()
    print_words(console, f"A Personal Access Token is made at {TOKENS_PAGE}")
    other = read_settings().church_of_token
    if other not in (None, org_id):
        raise WrongArgumentError(
            f"PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET are those of {other} (PCO_SYNC_ORG_ID); unset the three of "
            f"them, or say PCO_SYNC_ORG_ID={org_id}"
        )
    application_id = os.environ.get("PCO_SYNC_APPLICATION_ID") or console.input("Application ID: ").strip()
    secret = os.environ.get("PCO_SYNC_SECRET") or getpass.getpass("Secret (not shown): ").strip()
    name, tokens = interrupts.run(connect(org_id, application_id, secret, address))
    block = f"pco-credentials/{org_id}"
    if as_json:
        print_document({"org_id": org_id, "name": name, "block": block, "tokens": tokens, "exit_code": DONE})
        return DONE
    print_words(console, f"connected: PCO knows this token as {name}; stored as the block {block}")
    if tokens:
        print_words(console, in_words(tokens))
    return DONE


def address_of(org_id: str, base_url: str | None) -> str:
    """Where the church's token will be sent: as told, else by `PCO_SYNC_PCO_BASE_URL`, else Planning Center's own.

    Raises `WrongArgumentError` if there is no such address, or if no real church may be called so.
    """
    address = (base_url or os.environ.get("PCO_SYNC_PCO_BASE_URL") or PCO_BASE_URL).strip().rstrip("/")
    try:
        parts = urlsplit(address)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise WrongArgumentError("PCO_SYNC_PCO_BASE_URL and --base-url are addresses such as http://127.0.0.1:8899")
    try:
        check_not_reserved(org_id, address)
    except ReservedOrganizationError as error:
        raise WrongArgumentError(str(error)) from None
    return address


async def connect(org_id: str, application_id: str, secret: str, address: str) -> tuple[str, str | None]:
    """Store the token if PCO takes it; the organization's name as PCO knows it, and what `store_token` says.

    Raises the client's errors (`Unauthorized` with PCO's own hint), `WrongArgumentError`, `WrongOrganizationError` and
    `ChurchRemoved`.
    """
    name, organization_id = await check_token(application_id, secret, address)
    await check_same_church(org_id, organization_id, PersonalAccessToken(application_id, secret), address)
    return name, await store_token(org_id, application_id, secret, address)


async def check_same_church(org_id: str, organization_id: str, credential: Credential, address: str) -> None:
    """Refuse the credential of another church than the one that is connected or mirrored under this name.

    A church that consented is known by its organization, any other by a few of its people: at least one of them is
    shown. Raises `WrongOrganizationError`, and the errors of client and store, also for tables that are not there.
    """
    async with transaction() as connection:
        await check_schema(connection)
        people = await some_people(connection, org_id, most=RECOGNISED_BY)
        stored = await find_connection(connection, org_id)
    if stored is not None and stored.base_url == address:
        is_other = stored.organization_id != organization_id
    else:
        is_other = bool(people) and not await _shows_any(people, credential, address)
    if is_other:
        raise WrongOrganizationError(
            f"this is another church (organization {organization_id}) than the one that is known as {org_id}; "
            "nothing was stored. Give it a name of its own, or remove the other one first: "
            f"pco-sync churches remove {org_id} --yes"
        )


async def _shows_any(people: Sequence[str], credential: Credential, address: str) -> bool:
    version = load_catalog().entity("people.Person").api_version
    async with _client(credential, address) as client:
        for one in people:
            try:
                await client.fetch_document(f"/people/v2/people/{one}", api_version=version, lane="connect")
            except NotFound:
                continue
            except SkipError:  # it may not read people: nobody can tell
                return True
            except Unauthorized as error:
                if error.hint in NOT_THE_TOKEN:
                    return True
                raise
            return True
    return False


async def check_token(application_id: str, secret: str, address: str) -> tuple[str, str]:
    """The organization's name, and its id there. Raises the client's errors and `WrongArgumentError`."""
    try:
        credential = PersonalAccessToken(application_id, secret)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None
    organization = await organization_read_by(credential, address)
    attributes = organization.get("attributes")
    name = attributes.get("name") if isinstance(attributes, dict) else None
    return str(name or "an organization without a name"), str(organization.get("id"))


async def organization_read_by(credential: Credential | RenewedCredential, address: str) -> dict[str, Any]:
    """The organization that the credential reads, as Planning Center shows it. Raises the client's errors."""
    version = load_catalog().entity("people.Person").api_version
    async with _client(credential, address) as client:
        document = await client.fetch_document("/people/v2", api_version=version, lane="connect")
    organization: dict[str, Any] = document["data"]
    return organization


@asynccontextmanager
async def _client(credential: Credential | RenewedCredential, address: str) -> AsyncIterator[PcoClient]:
    settings = read_settings()
    async with httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        yield PcoClient(
            http,
            credential=credential,
            governor=ProcessGovernor(),
            base_url=address,
            user_agent=user_agent(settings.contact),
        )


async def store_token(
    org_id: str, application_id: str, secret: str, address: str, *, scheduled: bool | None = None
) -> str | None:
    """Let the church be read with it from now on; `scheduled` as `save_credentials` takes it.

    Then the tokens of a consent end; the answer is that of `revoke_and_forget`. Raises `ChurchRemoved` while the church
    is being removed, and the errors of store and Prefect: safe to repeat.
    """
    settings = read_settings()
    async with Database(settings.database_url.get_secret_value(), pool_size=1) as database:
        async with database.transaction() as connection:
            await admit_churches(connection, [org_id])
        await save_credentials(
            org_id, application_id=application_id, secret=secret, base_url=address, scheduled=scheduled
        )
        return await revoke_and_forget(org_id, database, settings)
