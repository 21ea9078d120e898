"""`/oauth/…`: the consent page, the token endpoint, who one is; and the switches of what goes wrong there."""

import base64
import binascii
import hmac
import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

import orjson

from pco_simulator.answering.answers import JSON, Answer, blocked, refusal, unauthorized, unknown_path
from pco_simulator.oauth.manners import TROUBLES, Manners
from pco_simulator.oauth.tokens import Consent, Pair, Refused, TokenStore

PREFIX: Final = "/oauth/"
SCOPES: Final = frozenset(
    ["api", "calendar", "check_ins", "giving", "groups", "people", "publishing", "registrations", "services", "openid"]
)


class Church(Protocol):
    """A church whose users can consent."""

    @property
    def organization(self) -> Mapping[str, Any]:
        """Its record in PCO's shape."""

    @property
    def user(self) -> str:
        """The id of the person who consents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRequest:
    """A request for tokens, for tests to count. `outcome`: granted, or what OAuth calls the error."""

    grant: str
    outcome: str
    organization: str
    trouble: str
    user_agent: str


@dataclass(kw_only=True)
class Provider:
    """All state of the provider. `clients` are secrets by client id, '' for a public application."""

    churches: Sequence[Church]
    clients: Mapping[str, str] = field(repr=False)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.manners = Manners()
        self.store = TokenStore()
        self.requests: list[TokenRequest] = []
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds on the provider's clock."""
        return self.clock() + self._ahead

    def change(self, told: dict[str, Any]) -> None:
        """Change some manners; or `advance` the clock by seconds, `forget` the requests, `revoke` or `expire` tokens.

        The last two take the id of a church, or '' for all of them. Raises `ValueError`, `TypeError`.
        """
        self._ahead += float(told.pop("advance", 0.0))
        for what, change in (("revoke", self.store.revoke_all), ("expire", self.store.expire_all)):
            if what in told:
                change(told.pop(what) or None)
        if told.pop("forget", False):
            self.requests.clear()
        known = {one.name for one in fields(Manners)}
        if told.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(told.keys() - known))}; known: {', '.join(sorted(known))}")
        if "trouble" in told:
            told.setdefault("times", 1)
        given: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in told.items()}
        self.manners = replace(self.manners, **given)
        self.store.rotation = self.manners.rotation
        self.store.access_seconds = self.manners.access_seconds
        self.store.lag = self.manners.lag

    def told(self) -> dict[str, Any]:
        """The requests for tokens since the start, and how many refresh tokens of each church are good."""
        alive = {str(one.organization["id"]): self.store.pairs_alive(one.organization["id"]) for one in self.churches}
        return {"requests": [asdict(one) for one in self.requests], "alive": alive}

    def admit(self, access: str, product: str) -> tuple[str, Answer | None]:
        """By which name the requests of a token's user are counted, and the refusal if it does not open `product`."""
        consent, hint = self.store.hint_against(access, now=self.now())
        if consent is None:
            return "", unauthorized(hint)
        user = f"user-{consent.organization}-{consent.sub}"
        if not hint and product in self.manners.without:
            hint = "TRASH_PANDA"
        if not hint and product not in ("current", "webhooks", *(one.replace("_", "-") for one in consent.scopes)):
            hint = "PELICAN"
        return user, unauthorized(hint) if hint else None

    def organization_of(self, access: str) -> str:
        """The church that an access token is for; '' if it is nobody's."""
        consent = self.store.consent_of(access)
        return consent.organization if consent else ""

    def answer(self, method: str, path: str, query: str, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Answer one request below `/oauth/`."""
        if not headers.get(b"user-agent"):
            return blocked()
        form = dict(parse_qsl(body.decode("utf-8", errors="replace")))
        match method, path.removeprefix(PREFIX):
            case "GET", "authorize":
                return self._authorize(dict(parse_qsl(query)))
            case "POST", "token":
                return self._token(form, headers)
            case "POST", "revoke":
                if self._client_of(form, headers) is None:
                    return _oauth_error(Refused("invalid_client", _WRONG_CLIENT), 401)
                self.store.revoke(form.get("token", ""))
                return Answer(content_type=JSON, body=b"{}", origin="edge")
            case "GET", "userinfo":
                return self._userinfo(headers)
        return unknown_path()

    def _authorize(self, asked: Mapping[str, str]) -> Answer:
        redirect_uri, client_id = asked.get("redirect_uri", ""), asked.get("client_id", "")
        if client_id not in self.clients:
            return _page("Client authentication failed due to unknown client.", status=401)
        if redirect_uri not in self.manners.redirects:
            words = "The requested redirect uri is malformed or doesn't match client redirect URI."
            return _page(words, status=400)
        back = {"state": asked["state"]} if "state" in asked else {}
        is_weak = asked.get("code_challenge_method", "S256") != "S256"
        if is_weak or (not self.clients[client_id] and not asked.get("code_challenge")):
            return _redirect(redirect_uri, error="invalid_request", **back)
        scopes = asked.get("scope", "").split()
        if set(scopes) - SCOPES:
            return _redirect(redirect_uri, error="invalid_scope", **back)
        if asked.get("decision") == "cancel":
            words = "The resource owner or authorization server denied the request."
            return _redirect(redirect_uri, error="access_denied", error_description=words, **back)
        church = next((one for one in self.churches if one.organization["id"] == asked.get("church")), None)
        if church is None:
            return self._consent_page(asked, scopes)
        consent = Consent(
            client_id=client_id,
            organization=church.organization["id"],
            sub=church.user,
            scopes=tuple(one for one in scopes if one not in self.manners.withheld),
        )
        challenge = asked.get("code_challenge", "")
        code = self.store.new_code(consent, redirect_uri=redirect_uri, challenge=challenge, now=self.now())
        return _redirect(redirect_uri, code=code, **back)

    def _consent_page(self, asked: Mapping[str, str], scopes: Sequence[str]) -> Answer:
        links = [
            (f"Allow for {one.organization['attributes']['name']}", {"church": one.organization["id"]})
            for one in self.churches
        ]
        shown = [
            f'<p><a href="?{html.escape(urlencode({**asked, **more}))}">{html.escape(words)}</a></p>'
            for words, more in [*links, ("Cancel", {"decision": "cancel"})]
        ]
        return _page(f"May this application read {', '.join(scopes)}?", *shown)

    def _token(self, form: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Answer:
        organization = self.store.organization_of_refresh(form.get("refresh_token", ""))
        trouble = self._next_trouble(organization)
        is_served, delivery, status = TROUBLES.get(trouble, (True, "whole", 200))
        outcome, answer = "unserved", refusal(status, "Service Unavailable", "", origin="edge")
        if is_served:
            try:
                pair = self._granted(form, headers)
                outcome, answer = "granted", _pair_answer(pair, self.store.access_seconds)
                organization = pair.consent.organization
            except Refused as error:
                outcome = error.error
                answer = _oauth_error(error, 401 if error.error == "invalid_client" else 400)
        self.requests.append(
            TokenRequest(
                grant=form.get("grant_type", ""),
                outcome=outcome,
                organization=organization,
                trouble=trouble,
                user_agent=headers[b"user-agent"].decode("latin-1"),
            )
        )
        return replace(answer, delivery=delivery)

    def _granted(self, form: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Pair:
        client_id = self._client_of(form, headers)
        if client_id is None:
            raise Refused("invalid_client", _WRONG_CLIENT)
        match form.get("grant_type"):
            case "authorization_code":
                return self.store.exchange(
                    form.get("code", ""),
                    client_id=client_id,
                    redirect_uri=form.get("redirect_uri", ""),
                    verifier=form.get("code_verifier", ""),
                    now=self.now(),
                )
            case "refresh_token":
                return self.store.refresh(form.get("refresh_token", ""), client_id=client_id, now=self.now())
        raise Refused("unsupported_grant_type", "The authorization grant type is not supported.")

    def _client_of(self, form: Mapping[str, str], headers: Mapping[bytes, bytes]) -> str | None:
        """The client that proved itself, by HTTP Basic or in the form; the field is `client_secret` (#667)."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        kind, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            try:
                client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        is_right = client_id in self.clients and hmac.compare_digest(self.clients[client_id].encode(), secret.encode())
        return client_id if is_right else None

    def _next_trouble(self, organization: str) -> str:
        manners = self.manners
        if not manners.trouble or manners.times < 1 or (manners.church and manners.church != organization):
            return ""
        self.manners = replace(manners, times=manners.times - 1)
        return manners.trouble

    def _userinfo(self, headers: Mapping[bytes, bytes]) -> Answer:
        token = headers.get(b"authorization", b"").partition(b" ")[2].decode("latin-1")
        consent, hint = self.store.hint_against(token, now=self.now())
        if consent is None or hint:
            return unauthorized(hint)
        church = next(one for one in self.churches if one.organization["id"] == consent.organization)
        told = {
            "sub": consent.sub,
            "name": "Canary Consenter",
            "email": "canary-consenter@example.org",
            "organization_id": consent.organization,
            "organization_name": church.organization["attributes"]["name"],
        }
        if "openid" not in consent.scopes:
            return refusal(403, "Forbidden", "insufficient_scope", origin="gateway")
        return Answer(content_type=JSON, body=orjson.dumps(told), origin="edge")


_WRONG_CLIENT: Final = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported "
    "authentication method."
)


def _pair_answer(pair: Pair, access_seconds: float) -> Answer:
    told = {
        "access_token": pair.access,
        "token_type": "Bearer",
        "expires_in": access_seconds,
        "refresh_token": pair.refresh,
        "scope": " ".join(pair.consent.scopes),
        "created_at": int(time.time()),
    }
    return Answer(content_type=JSON, body=orjson.dumps(told), origin="edge")


def _oauth_error(error: Refused, status: int) -> Answer:
    body = orjson.dumps({"error": error.error, "error_description": error.words})
    return Answer(status=status, content_type=JSON, body=body, origin="edge")


def _redirect(uri: str, **parameters: str) -> Answer:
    location = f"{uri}?{urlencode(parameters)}".encode()
    return Answer(status=302, content_type=b"text/html", headers=((b"location", location),), origin="edge")


def _page(words: str, *more: str, status: int = 200) -> Answer:
    text = f"<!DOCTYPE html><title>Simulated Planning Center</title><p>{html.escape(words)}</p>{''.join(more)}"
    return Answer(status=status, content_type=b"text/html; charset=utf-8", body=text.encode(), origin="edge")
