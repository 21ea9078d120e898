"""Check a church's token with PCO before it is stored."""

import os
from urllib.parse import urlsplit

import httpx

from deployments.arguments import WrongArgumentError, check_arguments
from deployments.provisioning.provision import save_credentials
from pco_catalog.catalog import load_catalog
from pco_client.auth import PersonalAccessToken
from pco_client.client import PcoClient, user_agent
from pco_client.governor import ProcessGovernor
from tasks.credentials import ReservedOrganizationError, check_not_reserved, is_live
from tasks.settings import PCO_BASE_URL, read_settings


def address_of(org_id: str, base_url: str | None) -> str:
    """Where the church's token will be sent: as told, else by `PCO_SYNC_PCO_BASE_URL`, else Planning Center's own.

    Raises `WrongArgumentError` if there is no such address, or if no real church may be called so.
    """
    check_arguments(org_id)
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


async def connect(org_id: str, application_id: str, secret: str, address: str) -> str:
    """Store the token if PCO takes it; the organization's name as PCO knows it. Schedules leave a simulator out.

    Raises the client's errors (`Unauthorized` with PCO's own hint), and `WrongArgumentError`.
    """
    try:
        credential = PersonalAccessToken(application_id, secret)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None
    settings = read_settings()
    version = load_catalog().entity("people.Person").api_version
    async with httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        client = PcoClient(
            http,
            credential=credential,
            governor=ProcessGovernor(),
            base_url=address,
            user_agent=user_agent(settings.contact),
        )
        document = await client.fetch_document("/people/v2", api_version=version, lane="connect")
    await save_credentials(
        org_id, application_id=application_id, secret=secret, base_url=address, scheduled=is_live(address)
    )
    attributes = document["data"].get("attributes")
    name = attributes.get("name") if isinstance(attributes, dict) else None
    return str(name or "an organization without a name")
