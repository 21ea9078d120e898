"""How a request is signed, and by which name the budget of its credential is known."""

import base64
import hashlib
from typing import Protocol


class Credential(Protocol):
    """Anything that can sign a request. OAuth tokens join here."""

    @property
    def identity(self) -> str:
        """A name for the credential that is safe to log and to use as a key. PCO counts requests per user."""

    def authorization(self) -> str:
        """The value of the `Authorization` header."""


class PersonalAccessToken:
    """HTTP Basic with application id and secret: one church, no expiry, the rights of the user who made it."""

    def __init__(self, application_id: str, secret: str) -> None:
        if not application_id or not secret:
            raise ValueError("a Personal Access Token has an application id and a secret; one of them is empty")
        self._application_id = application_id
        self._secret = secret

    @property
    def identity(self) -> str:
        """A digest of the application id."""
        return "pat-" + hashlib.sha256(self._application_id.encode()).hexdigest()[:16]

    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        pair = f"{self._application_id}:{self._secret}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def __repr__(self) -> str:
        return f"PersonalAccessToken({self.identity})"
