"""A church that has not consented yet, at a simulated Planning Center that asks for consent."""

import webbrowser
from collections.abc import Callable, Iterator

import httpx
import pytest
from cryptography.fernet import Fernet

from tests.church import Church
from tests.connections.consenting import FIRST, USUAL, consent
from tests.simulators import SimulatorProcess


@pytest.fixture(scope="module")
def provider_process() -> Iterator[SimulatorProcess]:
    """A simulator of two churches."""
    with SimulatorProcess(people=30, groups=3, churches=2) as simulator:
        yield simulator


@pytest.fixture
def provider(provider_process: SimulatorProcess) -> SimulatorProcess:
    """The same, well-behaved and with empty logs."""
    provider_process.oauth(**USUAL, forget=True, revoke="")
    provider_process.reset_log()
    return provider_process


@pytest.fixture
def unconnected(church: Church, provider: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """A church whose environment names the OAuth application, and no token."""
    for name in ("ORG_ID", "APPLICATION_ID", "SECRET"):
        monkeypatch.delenv(f"PCO_SYNC_{name}", raising=False)
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", provider.base_url)
    monkeypatch.setenv("BROWSER", "one that a test puts there")
    monkeypatch.setenv("PCO_SYNC_CLIENT_ID", "demo-client")
    monkeypatch.setenv("PCO_SYNC_CLIENT_SECRET", "demo-client-secret")
    monkeypatch.setenv("PCO_SYNC_TOKEN_KEYS", Fernet.generate_key().decode())
    return church.served_by(provider)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A user at a browser, who follows a link of the consent page to where it leads."""

    def sits_there(*, organization: str = FIRST, cancel: bool = False) -> list[str]:
        shown: list[str] = []

        def open_page(url: str) -> bool:
            answer = consent(url, organization=organization, cancel=cancel)
            foreign = httpx.get(answer.replace("state=", "state=x"), trust_env=False)
            shown.extend([foreign.text, httpx.get(answer, trust_env=False).text])
            return True

        monkeypatch.setattr(webbrowser, "open", open_page)
        return shown

    return sits_there
