"""A church of the simulator that has consented, and the parts of a process that reads it by OAuth."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from urllib.parse import urljoin

import httpx
from cryptography.fernet import Fernet
from sqlalchemy import text

from pco_client import PageRequest, PcoClient, ProcessGovernor
from pco_client.oauth import OAuthClient, authorize_url, new_secret, read_redirect, scopes_of
from pco_client.token_endpoint import TokenEndpoint
from pco_simulator.controls import Church
from pco_store.connections.connections import (
    NewConnection,
    StoredConnection,
    find_connection,
    forget_connection,
    store_connection,
)
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from tasks.connections.oauth_credential import OAuthCredential
from tasks.connections.renewing import Patience, Renewal
from tests.plain_http import NOBODY

CLIENT: Final = OAuthClient(client_id="demo-client", secret="demo-client-secret")
REDIRECT: Final = "http://127.0.0.1:8127/callback"
FIRST: Final = "263468"
"""The organization of the simulator's first church; the next ones count on."""
PEOPLE: Final = PageRequest(path="/people/v2/people", api_version="2025-11-10", per_page=5)
KEY: Final = Fernet.generate_key().decode()
PRODUCTS: Final = ("people", "groups")


def consent(url: str, *, organization: str = FIRST, cancel: bool = False) -> str:
    """Open the consent page and follow a link of it, as a person does; the address that it leads back to."""
    page = httpx.get(url, trust_env=False)
    links = [urljoin(url, unescape(one)) for one in re.findall(r'href="([^"]+)"', page.text)]
    wanted = "decision=cancel" if cancel else f"church={organization}"
    (link,) = [one for one in links if wanted in one]
    return httpx.get(link, trust_env=False).headers["location"]


@dataclass(kw_only=True)
class Connected:
    """`dead` is what was announced about it."""

    org_id: str
    database: Database
    simulator: Church
    keys: TokenKeys = field(default_factory=lambda: TokenKeys([KEY]))
    client: OAuthClient = CLIENT
    http: httpx.AsyncClient
    organization: str = FIRST
    dead: list[str] = field(default_factory=list)

    def endpoint(self, base_url: str = "", *, answer_seconds: float = 5.0) -> TokenEndpoint:
        """Its token endpoint."""
        return TokenEndpoint(
            self.http,
            base_url=base_url or self.simulator.base_url,
            client=self.client,
            user_agent="pco-sync tests",
            answer_seconds=answer_seconds,
        )

    def credential(
        self,
        *,
        patience: Patience | None = None,
        answer_seconds: float = 5.0,
        on_dead: Callable[[str, str, str], None] | None = None,
        **options: Any,
    ) -> OAuthCredential:
        """A credential of its own, as another process has one."""
        renewal = Renewal(
            org_id=self.org_id,
            database=self.database,
            keys=self.keys,
            client=self.client,
            endpoint=lambda base_url: self.endpoint(base_url, answer_seconds=answer_seconds),
            on_dead=on_dead or (lambda org_id, _, reason: self.dead.append(f"{org_id}: {reason}")),
            patience=patience or Patience(),
        )
        return OAuthCredential(renewal, **{"sleep": _no_wait, **options})

    def reader(self, credential: OAuthCredential) -> PcoClient:
        """A client that signs with it."""
        return PcoClient(
            self.http,
            credential=credential,
            governor=ProcessGovernor(),
            base_url=self.simulator.base_url,
            user_agent="pco-sync tests",
        )

    async def consent_and_store(self) -> None:
        """The consent, from the link to the row."""
        state, verifier = new_secret(), new_secret()
        url = authorize_url(
            self.simulator.base_url,
            self.client,
            redirect_uri=REDIRECT,
            scopes=scopes_of(PRODUCTS),
            state=state,
            verifier=verifier,
        )
        code = read_redirect(consent(url, organization=self.organization), state=state)
        pair = await self.endpoint().exchange(code, redirect_uri=REDIRECT, verifier=verifier)
        assert pair.refresh_token is not None
        new = NewConnection(
            org_id=self.org_id,
            organization_id=self.organization,
            sub=f"9{self.organization}",
            client_id=self.client.client_id,
            base_url=self.simulator.base_url,
            scopes=pair.scopes or (),
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            life_seconds=pair.life_seconds,
            connected_by="a test",
        )
        async with self.database.transaction() as connection:
            await store_connection(connection, new, self.keys)

    async def row(self) -> StoredConnection:
        """What is stored."""
        async with self.database.transaction() as connection:
            found = await find_connection(connection, self.org_id)
        assert found is not None
        return found

    async def set(self, **columns: str) -> None:
        """Change columns of its row, by SQL."""
        told = ", ".join(f"{name} = {value}" for name, value in columns.items())
        async with self.database.transaction() as connection:
            await connection.execute(
                text(f"UPDATE sync.connections SET {told} WHERE org_id = :org"), {"org": self.org_id}
            )

    async def age(self, seconds: float) -> None:
        """Let the pair be that much older, by the database's clock; PCO's is left alone."""
        back = f"- make_interval(secs => {seconds})"
        await self.set(access_expires_at=f"access_expires_at {back}", refresh_issued_at=f"refresh_issued_at {back}")

    def requests(self) -> list[Mapping[str, Any]]:
        """The requests for tokens since the consent."""
        told = self.simulator.oauth()["requests"]
        return [
            one for one in told if one["grant"] == "refresh_token" and one["organization"] in ("", self.organization)
        ]

    def outcomes(self) -> list[str]:
        """How they ended."""
        return [one["outcome"] for one in self.requests()]


async def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for a condition; raises `TimeoutError` when it does not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


async def _no_wait(_: float) -> None:
    """The second that PCO's servers may lag behind passes at once."""


@asynccontextmanager
async def connected(
    database: Database, simulator: Church, *, org_id: str = "grace", organization: str = FIRST, **manners: Any
) -> AsyncIterator[Connected]:
    """A church that has just consented, of a provider with these manners and an empty log of requests."""
    simulator.oauth(**{**USUAL, **manners, "forget": True})
    async with httpx.AsyncClient(verify=NOBODY, timeout=10, trust_env=False) as http:
        church = Connected(org_id=org_id, database=database, simulator=simulator, http=http, organization=organization)
        async with database.transaction() as connection:
            await forget_connection(connection, org_id)
        await church.consent_and_store()
        yield church


USUAL: Final = {
    "rotation": "on-use",
    "access_seconds": 7200,
    "lag": 0,
    "withheld": [],
    "without": [],
    "trouble": "",
    "church": "",
    "redirects": [f"http://127.0.0.1:{port}/callback" for port in (8127, 8128, 8129)],
}
