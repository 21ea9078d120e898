"""OAuth as Planning Center does it: addresses, forms, and what answers mean. No socket, no clock.

Endpoints and error texts are those of the Ruby gem Doorkeeper. PKCE is always sent: a confidential application may, a
public one must (documentation "authentication").
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from pco_client.documents import read_json
from pco_client.errors import (
    BadRequest,
    ClientRefused,
    EdgeBlocked,
    GrantRefused,
    PcoError,
    RateLimited,
    ServerFault,
    UndecodableAnswer,
)
from pco_client.rate_limit import read_rate
from pco_client.sansio import HttpRequest, HttpResponse

IDENTITY_SCOPE: Final = "openid"
"""With it PCO says which church and which user consented."""
PRODUCT_SCOPES: Final = frozenset(
    ["api", "calendar", "check_ins", "giving", "groups", "people", "publishing", "registrations", "services"]
)
"""Each opens the product of its name. `current` needs none, and `webhooks` those of what they are about (#596)."""
USUAL_LIFE_SECONDS: Final = 7200.0
LONGEST_LIFE_SECONDS: Final = 30 * 86400.0

_TOO_OLD: Final = "no longer valid"
"""In the description of an `invalid_request`: the refresh token is older than 90 days (#1310)."""


class ConsentFailedError(Exception):
    """The consent page led back without a consent; the message says why."""


class ForeignRedirectError(ConsentFailedError):
    """The address is not the answer to our link; the right one may still come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OAuthClient:
    """The application that churches consent to. A public application has no secret."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    """What the token endpoint has granted. `refresh_token` is None if the old one stays; `scopes` if it named none."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    life_seconds: float
    scopes: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentingUser:
    """Who consented, and for which church."""

    user_id: str
    organization_id: str
    organization_name: str


def new_secret() -> str:
    """A PKCE verifier, or a `state`: 43 characters that nobody guesses."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def scope_of(product: str) -> str | None:
    """The scope that opens a product; None if it needs none of its own."""
    scope = product.replace("-", "_")
    return scope if scope in PRODUCT_SCOPES else None


def scopes_of(products: Iterable[str]) -> tuple[str, ...]:
    """The scopes that open these products, and the one that says who consented."""
    return (IDENTITY_SCOPE, *sorted({scope for one in products if (scope := scope_of(one)) is not None}))


def authorize_url(
    base_url: str, client: OAuthClient, *, redirect_uri: str, scopes: Iterable[str], state: str, verifier: str
) -> str:
    """The consent page. `prompt` lets the user choose the church, for a token is for one of them only."""
    asked = {
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "prompt": "select_account",
    }
    return f"{base_url}/oauth/authorize?{urlencode(asked)}"


def read_redirect(url: str, *, state: str) -> str:
    """The code in the address that the consent page led back to.

    Raises `ForeignRedirectError`, and `ConsentFailedError` if nobody consented.
    """
    try:
        told = {name: values[0] for name, values in parse_qs(urlsplit(url.strip()).query).items()}
    except ValueError:
        told = {}
    if not secrets.compare_digest(told.get("state", "").encode(), state.encode()):
        raise ForeignRedirectError(
            "this address does not belong to the link that was shown (its `state` is another one)"
        )
    if "error" in told:
        if told["error"] == "access_denied":
            raise ConsentFailedError("the consent was refused at Planning Center; nothing was stored")
        raise ConsentFailedError(f"Planning Center gave no consent: {_word(told['error'])}; nothing was stored")
    if not told.get("code"):
        raise ForeignRedirectError("this address holds no code; it is needed whole, from http to the end")
    return told["code"]


def code_form(client: OAuthClient, *, code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """For a code that was just given."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        **_client_fields(client),
    }


def refresh_form(client: OAuthClient, refresh_token: str) -> dict[str, str]:
    """For the next pair."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, **_client_fields(client)}


def revoke_form(client: OAuthClient, token: str) -> dict[str, str]:
    """For a pair that is not wanted. The endpoint is not documented; PCO's staff named it (#1379)."""
    return {"token": token, **_client_fields(client)}


def form_request(base_url: str, what: str, user_agent: str) -> HttpRequest:
    """A post to `/oauth/{what}`, without its form. Without a User-Agent PCO answers a bare 403 here, too."""
    headers = {"User-Agent": user_agent, "Accept": "application/json"}
    return HttpRequest(method="POST", url=f"{base_url}/oauth/{what}", headers=headers)


def read_pair(response: HttpResponse) -> TokenPair:
    """The tokens in an answer. Raises `GrantRefused`, `ClientRefused`, and errors that pass, of `errors.py`."""
    told = _object(response)
    if response.status != 200:
        raise _token_error(response, told)
    access, refresh = told.get("access_token"), told.get("refresh_token")
    if not isinstance(access, str) or not access or not isinstance(refresh, str | None):
        raise UndecodableAnswer("the answer holds no tokens", where=_WHERE, status=200)
    life, scope = told.get("expires_in"), told.get("scope")
    is_life = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life <= LONGEST_LIFE_SECONDS
    return TokenPair(
        access_token=access,
        refresh_token=refresh or None,
        life_seconds=float(life) if is_life and life is not None else USUAL_LIFE_SECONDS,
        scopes=tuple(scope.split()) if isinstance(scope, str) else None,
    )


def check_revoked(response: HttpResponse) -> None:
    """That a token was revoked, or was none: OAuth does not tell them apart. Raises as `read_pair`."""
    if response.status != 200:
        raise _token_error(response, _object(response))


def read_user(response: HttpResponse) -> ConsentingUser:
    """Who consented. Raises `BadRequest` if PCO does not say so, and errors that pass."""
    told, status = _object(response), response.status
    organization, user = told.get("organization_id"), told.get("sub")
    if status in (401, 403) or (status == 200 and not (organization and user)):
        raise BadRequest("PCO does not say which church consented", where="GET /oauth/userinfo", status=status)
    if status != 200:
        raise _token_error(response, told)
    return ConsentingUser(
        user_id=str(user),
        organization_id=str(organization),
        organization_name=str(told.get("organization_name") or "an organization without a name"),
    )


_WHERE: Final = "POST /oauth/token"


def _client_fields(client: OAuthClient) -> dict[str, str]:
    """In the form: `client_secret`, not `secret` (#667, #674)."""
    return {"client_id": client.client_id, **({"client_secret": client.secret} if client.secret else {})}


def _object(response: HttpResponse) -> Mapping[str, Any]:
    try:
        told = read_json(response.body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        return told
    if response.status == 200:
        raise UndecodableAnswer("the body is no JSON document", where=_WHERE, status=200)
    return {}


def _token_error(response: HttpResponse, told: Mapping[str, Any]) -> PcoError:
    """By OAuth's word for it. Descriptions are not repeated: nobody promises what they quote."""
    status, error, words = response.status, told.get("error"), str(told.get("error_description"))
    if status == 429:
        wait = read_rate(response.headers).retry_after_seconds or 1.0
        return RateLimited("the rate limit is exceeded", retry_after_seconds=wait, where=_WHERE, status=status)
    if error == "invalid_grant" or (error == "invalid_request" and _TOO_OLD in words):
        return GrantRefused("PCO takes this code or refresh token no more", where=_WHERE, status=status)
    if error in ("invalid_client", "unauthorized_client"):
        return ClientRefused("PCO does not accept the OAuth client id and secret", where=_WHERE, status=status)
    if status >= 500 or status == 408:
        return ServerFault("PCO failed", where=_WHERE, status=status)
    if status == 403 and not told:
        return EdgeBlocked("the edge answered instead of PCO", where=_WHERE, status=status)
    return BadRequest(f"PCO gives no tokens ({_word(error)})", where=_WHERE, status=status)


def _word(told: object) -> str:
    """An error's name, if it is one."""
    is_word = isinstance(told, str) and len(told) <= 60 and told.replace("_", "").isalpha()
    return str(told) if is_word else "it does not say why"
