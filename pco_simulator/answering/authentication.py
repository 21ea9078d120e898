"""Who asks: HTTP Basic with an application id and its secret, or a bearer token of the simulated OAuth provider."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping

from pco_simulator.answering.answers import Answer, blocked, unauthorized


def application_of(headers: Mapping[bytes, bytes]) -> str:
    """The application id that a request names, let in or not; '' if it names none."""
    return _pair(headers)[0]


def _pair(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    kind, _, encoded = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


Admit = Callable[[str, str], tuple[str, Answer | None]]
"""Of a bearer token and a product: by which name its user is counted, and the refusal if it does not open it."""


def bearer_of(headers: Mapping[bytes, bytes]) -> str:
    """The bearer token of a request; '' if it has none."""
    kind, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.decode("latin-1") if kind.lower() == b"bearer" else ""


def authenticate(
    headers: Mapping[bytes, bytes], credentials: Mapping[str, str], *, product: str = "", admit: Admit | None = None
) -> tuple[str, Answer | None]:
    """The application id or the user, and the refusal if it is not let in. The edge blocks who has no User-Agent."""
    if not headers.get(b"user-agent"):
        return "", blocked()
    bearer = bearer_of(headers)
    if bearer and admit is not None:
        return admit(bearer, product)
    name, secret = _pair(headers)
    if not name:
        return "", unauthorized("BLACKBIRD")
    if name in credentials and hmac.compare_digest(credentials[name].encode(), secret.encode()):
        return name, None
    return "", unauthorized("CHINCHILLA")
