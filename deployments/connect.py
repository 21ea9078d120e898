"""Check a church's token with PCO before it is stored."""

import httpx

from deployments.arguments import WrongArgumentError, check_arguments
from deployments.provision import save_credentials
from pco_catalog.catalog import load_catalog
from pco_client.auth import PersonalAccessToken
from pco_client.client import PcoClient, user_agent
from pco_client.governor import ProcessGovernor
from tasks.settings import PCO_BASE_URL


async def connect(org_id: str, application_id: str, secret: str, base_url: str | None) -> str:
    """Store the token if PCO takes it; the organization's name as PCO knows it. Schedules leave a simulator out.

    Raises the client's errors (`Unauthorized` with PCO's own hint), and `WrongArgumentError`.
    """
    check_arguments(org_id)
    try:
        credential = PersonalAccessToken(application_id, secret)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None
    address = base_url or PCO_BASE_URL
    version = load_catalog().entity("people.Person").api_version
    async with httpx.AsyncClient(timeout=30) as http:
        client = PcoClient(
            http, credential=credential, governor=ProcessGovernor(), base_url=address, user_agent=user_agent("")
        )
        document = await client.fetch_document("/people/v2", api_version=version, lane="connect")
    is_real = address == PCO_BASE_URL
    await save_credentials(org_id, application_id=application_id, secret=secret, base_url=address, scheduled=is_real)
    attributes = document["data"].get("attributes")
    name = attributes.get("name") if isinstance(attributes, dict) else None
    return str(name or "an organization without a name")
