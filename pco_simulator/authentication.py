"""Who asks: HTTP Basic with an application id and its secret."""

import base64
import binascii
import hmac
from collections.abc import Mapping

from pco_simulator.answers import Answer, blocked, unauthorized


def authenticate(headers: Mapping[bytes, bytes], credentials: Mapping[str, str]) -> tuple[str, Answer | None]:
    """The application id, and the refusal if it is not let in. The edge blocks who has no User-Agent."""
    if not headers.get(b"user-agent"):
        return "", blocked()
    kind, _, encoded = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"basic":
        return "", unauthorized("BLACKBIRD")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", unauthorized("BLACKBIRD")
    if name in credentials and hmac.compare_digest(credentials[name].encode(), secret.encode()):
        return name, None
    return "", unauthorized("CHINCHILLA")
