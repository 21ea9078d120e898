"""Asks a user of the church for a consent: the link, and the answer that comes by the browser or is pasted."""

import asyncio
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console

from deployments.connecting.loopback import PORTS, listening, redirect_uri
from deployments.terminal import print_plain, print_words
from pco_client.oauth import (
    ConsentFailedError,
    ForeignRedirectError,
    OAuthClient,
    authorize_url,
    new_secret,
    read_redirect,
)

ANSWER_MINUTES: Final = 10
PASTES: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """A consent that was just given; its code is good for ten minutes, once."""

    code: str = field(repr=False)
    redirect_uri: str
    verifier: str = field(repr=False)


def has_browser() -> bool:
    """Whether a page can be opened here. Where no window can, a browser for terminals would take this one."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))


async def consent_by_browser(address: str, client: OAuthClient, scopes: Sequence[str], console: Console) -> Consent:
    """Open the page, and wait for the browser to come back. Raises `ConsentFailedError`, `NoPortError`."""
    state, verifier = new_secret(), new_secret()
    async with listening(state) as loopback:
        link = _link(address, client, scopes, uri=loopback.redirect_uri, state=state, verifier=verifier)
        _show_link(link, console, "Consent as a user who may read the church's data. The page opens now, or open it:")
        print_words(
            console,
            f"Waiting for the answer, {ANSWER_MINUTES} minutes at most. If your browser is on another machine: Ctrl-C, "
            "then the same with --no-browser.",
        )
        threading.Thread(target=webbrowser.open, args=(link,), name="browser", daemon=True).start()
        try:
            async with asyncio.timeout(ANSWER_MINUTES * 60):
                answer = await loopback.answer
        except TimeoutError:
            raise ConsentFailedError(
                f"nobody consented within {ANSWER_MINUTES} minutes; if the page said that the redirect address is "
                f"wrong, register {loopback.redirect_uri} with the application"
            ) from None
    code = read_redirect(answer, state=state)
    return Consent(code=code, redirect_uri=loopback.redirect_uri, verifier=verifier)


def consent_by_hand(address: str, client: OAuthClient, scopes: Sequence[str], console: Console) -> Consent:
    """For a machine without a browser: the answer's page cannot be reached from elsewhere, but its address is shown.

    Raises `ConsentFailedError`.
    """
    state, verifier, uri = new_secret(), new_secret(), redirect_uri(PORTS[0])
    link = _link(address, client, scopes, uri=uri, state=state, verifier=verifier)
    _show_link(link, console, "Open this link in any browser, and consent as a user who may read the church's data:")
    print_words(
        console, "The browser then shows that a page cannot be reached. Copy all of its address, and paste it here."
    )
    for _ in range(PASTES - 1):
        try:
            return Consent(code=_pasted(console, state), redirect_uri=uri, verifier=verifier)
        except ForeignRedirectError as error:
            print_words(console, f"{error}. Paste the one that the browser shows now.")
    return Consent(code=_pasted(console, state), redirect_uri=uri, verifier=verifier)


def _pasted(console: Console, state: str) -> str:
    try:
        return read_redirect(console.input("Address: "), state=state)
    except EOFError:
        raise ConsentFailedError("the input ended before an address was pasted; nothing was stored") from None


def _link(address: str, client: OAuthClient, scopes: Sequence[str], *, uri: str, state: str, verifier: str) -> str:
    return authorize_url(address, client, redirect_uri=uri, scopes=scopes, state=state, verifier=verifier)


def _show_link(link: str, console: Console, words: str) -> None:
    print_words(console, words)
    print_plain(console, "", link, "")
    sys.stdout.flush()
