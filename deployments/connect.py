"""Check a church's token with PCO before it is stored."""

import httpx

from deployments.provision import save_credentials
from flows.parameters import check_org_id
from pco_client.auth import PersonalAccessToken
from pco_client.client import PcoClient, user_agent
from pco_client.governor import ProcessGovernor
from tasks.settings import PCO_BASE_URL

PEOPLE_VERSION = "2026-07-31"


async def connect(org_id: str, application_id: str, secret: str, base_url: str | None) -> str:
    """Store the token if PCO takes it; the organization's name as PCO knows it.

    Raises the client's errors (`Unauthorized` with PCO's own hint), and `ValueError` for a bad `org_id`.
    """
    check_org_id(org_id)
    address = base_url or PCO_BASE_URL
    async with httpx.AsyncClient(timeout=30) as http:
        client = PcoClient(
            http,
            credential=PersonalAccessToken(application_id, secret),
            governor=ProcessGovernor(),
            base_url=address,
            user_agent=user_agent(""),
        )
        organization = await client.fetch_document("/people/v2", api_version=PEOPLE_VERSION, lane="connect")
    await save_credentials(org_id, application_id=application_id, secret=secret, base_url=address)
    return str(organization.attributes.get("name", "an organization without a name"))
