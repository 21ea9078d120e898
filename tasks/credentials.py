"""Who may read which church: a Prefect block per church, or the environment for one church.

For a church that is connected by OAuth the block says only that; its tokens are in the database (`tasks.connections`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import Field, SecretStr

from pco_client.auth import Credential, PersonalAccessToken, RenewedCredential
from pco_client.oauth import OAuthClient
from tasks.settings import PCO_BASE_URL, SyncSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How a church is read: what requests are signed with, and where they go."""

    credential: Credential | RenewedCredential
    base_url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ByOAuth:
    """A church whose tokens are in the database; `client` is the application that it consented to."""

    org_id: str
    client: OAuthClient
    base_url: str


TOKENS_PAGE: Final = "https://api.planningcenteronline.com/oauth/applications"
"""Where Planning Center makes tokens, and registers OAuth applications."""
CLIENT_BLOCK: Final = "default"
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


class NoOAuthClientError(Exception):
    """A church is connected by OAuth, and nothing says to which application."""


class PcoCredentials(Block):
    """Lets pco-sync read one church's Planning Center data.

    **The block's name is the church's org_id**, such as `my-church`: the name that runs, tables and schedules know it
    by. A person who may read the church's data makes a Personal Access Token at
    https://api.planningcenteronline.com/oauth/applications and pastes its two halves here; `pco-sync connect my-church`
    does the same, and checks them first. A church that connects by OAuth (`pco-sync connect my-church --oauth`) has
    empty halves.
    """

    # The address stands beside the secret, so that a real church's secret can never be sent to a simulator.

    _block_type_name = "PCO Credentials"
    _block_type_slug = "pco-credentials"
    _description = (
        "Lets pco-sync read one church's Planning Center data. The block's name is the church's org_id, such as "
        f"my-church. Make a Personal Access Token at {TOKENS_PAGE}"
    )

    application_id: SecretStr = Field(
        title="Application ID", description="Of the Personal Access Token; Planning Center shows it beside the secret"
    )
    secret: SecretStr = Field(description="Of the Personal Access Token")

    scheduled: bool = Field(default=True, description="Whether schedules sync this church, too")
    base_url: str = Field(
        default=PCO_BASE_URL,
        title="Planning Center's address",
        description="Where Planning Center answers; a simulator's address to try it out",
    )
    switched_off: list[str] = Field(
        default=[],
        title="Paused schedules",
        description="Schedules of its own that `pco-sync churches pause` has switched off, by id",
    )
    oauth: bool = Field(
        default=False,
        title="Connected by OAuth",
        description="Set by `pco-sync connect my-church --oauth`; the token above is not used then",
    )

    def connection(self) -> Connection:
        """What the client needs. Raises `ValueError` if half of the token is missing."""
        return _connection(self.application_id, self.secret, self.base_url)


class PcoOAuthClient(Block):
    """The OAuth application that churches consent to; the block's name is `default`.

    An Organization Administrator registers it once, for all churches, at
    https://api.planningcenteronline.com/oauth/applications. The variables PCO_SYNC_CLIENT_ID and PCO_SYNC_CLIENT_SECRET
    do the same, and win. The churches' tokens are not here: they are in the mirror's database, encrypted.
    """

    _block_type_name = "PCO OAuth Client"
    _block_type_slug = "pco-oauth-client"
    _description = (
        f"The OAuth application that churches consent to. Name the block {CLIENT_BLOCK}. Register it at {TOKENS_PAGE}"
    )

    client_id: str = Field(title="Client ID", description="Of the OAuth application")
    client_secret: SecretStr = Field(
        default=SecretStr(""), description="Of the OAuth application; a public application has none"
    )

    def client(self) -> OAuthClient:
        """What the token endpoint needs."""
        return OAuthClient(client_id=self.client_id, secret=self.client_secret.get_secret_value())


async def connection_for_org(org_id: str, settings: SyncSettings) -> Connection | ByOAuth:
    """The environment's credential if it is this church's, else its block.

    Raises `UnknownOrganizationError`, `ReservedOrganizationError`, `NoOAuthClientError`.
    """
    if settings.org_id == org_id and settings.application_id is not None and settings.secret is not None:
        check_not_reserved(org_id, settings.pco_base_url)
        return _connection(settings.application_id, settings.secret, settings.pco_base_url)
    try:
        block: PcoCredentials = await PcoCredentials.aload(org_id)
    except ValueError:
        raise UnknownOrganizationError(org_id, tuple(await connected_organizations(settings))) from None
    check_not_reserved(org_id, block.base_url)
    if not block.oauth:
        return block.connection()
    client = await find_oauth_client(settings)
    if client is None:
        raise NoOAuthClientError(
            f"{org_id} is connected by OAuth, and nothing names the application: set PCO_SYNC_CLIENT_ID and "
            f"PCO_SYNC_CLIENT_SECRET, or save the block `pco-oauth-client/{CLIENT_BLOCK}`"
        )
    return ByOAuth(org_id=org_id, client=client, base_url=block.base_url)


async def find_oauth_client(settings: SyncSettings) -> OAuthClient | None:
    """The OAuth application of the environment, else that of the block; None if there is neither."""
    if settings.client_id:
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        return OAuthClient(client_id=settings.client_id, secret=secret)
    try:
        block: PcoOAuthClient = await PcoOAuthClient.aload(CLIENT_BLOCK)
    except ValueError:
        return None
    return block.client()


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


async def scheduled_organizations(settings: SyncSettings) -> dict[str, bool]:
    """The churches that schedules sync: those with a block that does not say otherwise, and the environment's.

    In the order of their names, each with whether it is connected by OAuth.
    """
    told = {name: data for name, data in (await church_blocks()).items() if data.get("scheduled", True)}
    chosen = {name: bool(data.get("oauth")) for name, data in told.items()}
    if settings.church_of_token:
        chosen[settings.church_of_token] = False
    return dict(sorted(chosen.items()))


def _connection(application_id: SecretStr, secret: SecretStr, base_url: str) -> Connection:
    token = PersonalAccessToken(application_id.get_secret_value(), secret.get_secret_value())
    return Connection(credential=token, base_url=base_url)


async def connected_organizations(settings: SyncSettings) -> dict[str, bool]:
    """The churches with a block, and the environment's, by name; each with whether schedules sync it."""
    found = {name: bool(data.get("scheduled", True)) for name, data in (await church_blocks()).items()}
    if settings.church_of_token:
        found[settings.church_of_token] = True
    return dict(sorted(found.items()))


async def church_blocks() -> dict[str, Mapping[str, Any]]:
    """What the churches' blocks say, without their secrets, by name."""
    async with get_client() as client:
        try:
            documents: list[BlockDocument] = await client.read_block_documents_by_type(
                "pco-credentials", include_secrets=False
            )
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            documents = []  # no church was ever connected, so Prefect does not even know the type
    return {one.name: one.data for one in documents if one.name}
