"""Churches that have consented in another program of the vendor's are taken over with their tokens."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from deployments.app import main
from deployments.churches.adding import WrongChurchesError
from deployments.churches.consented import ConsentedChurch, add_consented
from deployments.exit_codes import DONE
from pco_client.oauth import authorize_url, code_form, new_secret, read_redirect, scopes_of
from tests.acceptance.commands.test_connect_by_oauth import SECOND, rows
from tests.church import Church
from tests.connections.consenting import CLIENT, FIRST, REDIRECT, consent

pytestmark = pytest.mark.usefixtures("restored_signals")


def test_churches_that_consented_elsewhere_are_taken_over_together_or_not_at_all(unconnected: Church) -> None:
    base_url = unconnected.simulator.base_url
    pairs = {org_id: _consented(base_url, of) for org_id, of in (("grace", FIRST), ("hope", SECOND))}

    def church(org_id: str, **more: Any) -> ConsentedChurch:
        access, refresh = pairs[org_id]
        return replace(ConsentedChurch(org_id=org_id, access_token=access, refresh_token=refresh), **more)

    with pytest.raises(WrongChurchesError, match="hope: PCO does not say which church consented"):
        asyncio.run(add_consented([church("grace"), church("hope", access_token="over")]))
    assert rows(unconnected) == []
    with pytest.raises(WrongChurchesError, match=FIRST):
        asyncio.run(add_consented([church("grace"), replace(church("grace"), org_id="other")]))
    assert rows(unconnected) == []
    names = asyncio.run(add_consented([church("grace", display_name="Grace"), church("hope")]))
    assert names["grace"] == "Grace"
    assert [(row[0], row[1]) for row in rows(unconnected)] == [("grace", FIRST), ("hope", SECOND)]
    assert unconnected.sync().rows == 30
    assert [one["outcome"] for one in unconnected.simulator.oauth()["requests"]][-1] == "granted", (
        "renewed at first use"
    )
    assert main(["churches", "remove", "hope", "--yes"]) == DONE


def test_a_church_that_consented_is_not_taken_for_another_one(unconnected: Church) -> None:
    base_url = unconnected.simulator.base_url

    def church(of: str) -> ConsentedChurch:
        access, refresh = _consented(base_url, of)
        return ConsentedChurch(org_id="grace", access_token=access, refresh_token=refresh)

    asyncio.run(add_consented([church(FIRST)]))
    assert unconnected.sync().rows == 30
    with pytest.raises(WrongChurchesError, match=rf"grace: this is another church \(organization {SECOND}\)"):
        asyncio.run(add_consented([church(SECOND)]))
    assert [row[1] for row in rows(unconnected)] == [FIRST]


def _consented(base_url: str, organization: str) -> tuple[str, str]:
    """A pair of tokens as another program got it."""
    state, verifier = new_secret(), new_secret()
    url = authorize_url(
        base_url, CLIENT, redirect_uri=REDIRECT, scopes=scopes_of(("people",)), state=state, verifier=verifier
    )
    code = read_redirect(consent(url, organization=organization), state=state)
    form = code_form(CLIENT, code=code, redirect_uri=REDIRECT, verifier=verifier)
    headers = {"User-Agent": "another program"}
    told = httpx.post(f"{base_url}/oauth/token", data=form, headers=headers, trust_env=False).json()
    return told["access_token"], told["refresh_token"]
