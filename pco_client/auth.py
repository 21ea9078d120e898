"""How a request is signed, and by which name the budget of its credential is known."""

import base64
import hashlib
from abc import ABC, abstractmethod
from typing import Protocol


class Credential(Protocol):
    """Anything that can sign a request."""

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


class AccessToken:
    """An OAuth access token. `version` counts the pairs of its connection; `identity` is the same for all of them."""

    def __init__(self, token: str, *, identity: str, version: int = 0) -> None:
        self._token = token
        self.identity = identity
        self.version = version

    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {self._token}"

    def __repr__(self) -> str:
        return f"AccessToken({self.identity}, version {self.version})"


class RenewedCredential(ABC):
    """What signs with another token from time to time. `PcoClient` asks it before each request, and after a 401."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The same for all tokens of a user in a church, for they share one budget (#1297)."""

    @abstractmethod
    async def current(self) -> AccessToken:
        """The token to sign with now. Raises `NeedsAuthorisation`, and what happens on the way to another one."""

    @abstractmethod
    async def after_refusal(self, refused: AccessToken, hint: str | None) -> bool:
        """Whether to send a request again that was answered 401 with PCO's `hint`. Raises the same."""


def user_identity(organization_id: str, user_id: str) -> str:
    """The identity of a user in a church, safe to log and to use as a key."""
    return "user-" + hashlib.sha256(f"{organization_id}/{user_id}".encode()).hexdigest()[:16]
