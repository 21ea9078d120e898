"""Who may read which church: a Prefect block per church, or the environment for one church."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import Field, SecretStr

from pco_client.auth import Credential, PersonalAccessToken
from tasks.settings import PCO_BASE_URL, SyncSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How a church is read: what requests are signed with, and where they go."""

    credential: Credential
    base_url: str


INVENTED: Final = "demo"
"""The org_id of the demo's invented church, whose rows no real church may share."""
LIVE_HOSTS: Final = ("planningcenteronline.com", "planningcenter.com")


class ReservedOrganizationError(Exception):
    """The name of the demo's church was given to a real one."""


class UnknownOrganizationError(Exception):
    """No credentials are kept for this church. `known` are the ones there are credentials for."""

    def __init__(self, org_id: str, known: tuple[str, ...]) -> None:
        names = ", ".join(known) if known else "none yet"
        super().__init__(
            f"org_id {org_id!r}: no credentials are known for this organization (known: {names}). Save a block "
            f"`pco-credentials/{org_id}` (pco-sync connect {org_id}), or set PCO_SYNC_ORG_ID={org_id}, "
            "PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET"
        )
        self.org_id = org_id
        self.known = known

    def __reduce__(self) -> tuple[type["UnknownOrganizationError"], tuple[str, tuple[str, ...]]]:
        return type(self), (self.org_id, self.known)


class PcoCredentials(Block):
    """A church's Personal Access Token; the block's name is the `org_id`.

    OAuth connections get a block of their own that answers `connection()` the same way. The address stands beside the
    secret, so that a real church's secret can never be sent to a simulator.
    """

    _block_type_name = "PCO Credentials"
    _block_type_slug = "pco-credentials"
    _description = "Lets pco-sync read one church's Planning Center data"

    application_id: SecretStr = Field(description="Application ID of the Personal Access Token")
    secret: SecretStr = Field(description="Secret of the Personal Access Token")

    scheduled: bool = Field(default=True, description="Whether schedules sync this church, too")
    base_url: str = Field(default=PCO_BASE_URL, description="Where PCO answers; a simulator's address to try it out")

    def connection(self) -> Connection:
        """What the client needs."""
        return _connection(self.application_id, self.secret, self.base_url)


async def connection_for_org(org_id: str, settings: SyncSettings) -> Connection:
    """The environment's credential if it is this church's, else its block.

    Raises `UnknownOrganizationError`, `ReservedOrganizationError`.
    """
    if settings.org_id == org_id and settings.application_id is not None and settings.secret is not None:
        check_not_reserved(org_id, settings.pco_base_url)
        return _connection(settings.application_id, settings.secret, settings.pco_base_url)
    try:
        block: PcoCredentials = await PcoCredentials.aload(org_id)
    except ValueError:
        raise UnknownOrganizationError(org_id, await _known_organizations(settings)) from None
    check_not_reserved(org_id, block.base_url)
    return block.connection()


def is_live(base_url: str) -> bool:
    """Whether Planning Center itself answers there, however the address is written."""
    host = urlsplit(base_url).hostname or ""
    return any(host == one or host.endswith(f".{one}") for one in LIVE_HOSTS)


def check_not_reserved(org_id: str, base_url: str) -> None:
    """Raises `ReservedOrganizationError` if real people would be mixed with the demo's invented ones."""
    if org_id == INVENTED and is_live(base_url):
        raise ReservedOrganizationError(
            f"org_id {INVENTED!r} is the name of the demo's invented church; connect a real one under a name of its "
            "own: make connect ORG=my-church"
        )


async def scheduled_organizations(settings: SyncSettings) -> list[str]:
    """The churches that schedules sync: those with a block that does not say otherwise, and the environment's."""
    async with get_client() as client:
        try:
            documents = await client.read_block_documents_by_type("pco-credentials", include_secrets=False)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            documents = []  # no church was ever connected
    chosen = {one.name for one in documents if one.name and one.data.get("scheduled", True)}
    if settings.org_id and settings.application_id and settings.secret:
        chosen.add(settings.org_id)
    return sorted(chosen)


def _connection(application_id: SecretStr, secret: SecretStr, base_url: str) -> Connection:
    token = PersonalAccessToken(application_id.get_secret_value(), secret.get_secret_value())
    return Connection(credential=token, base_url=base_url)


async def _known_organizations(settings: SyncSettings) -> tuple[str, ...]:
    async with get_client() as client:
        try:
            documents = await client.read_block_documents_by_type("pco-credentials")
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            documents = []  # no church was ever connected, so Prefect does not even know the type
    names = {document.name for document in documents if document.name}
    if settings.org_id and settings.application_id and settings.secret:
        names.add(settings.org_id)
    return tuple(sorted(names))
