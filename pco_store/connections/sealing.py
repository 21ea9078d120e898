"""Encrypts tokens at rest with keys of the environment: the first key seals, all of them open."""

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pco_store.errors import TokenKeysWrong

VARIABLE: Final = "PCO_SYNC_TOKEN_KEYS"
MAKE_ONE: Final = "openssl rand -base64 32 | tr +/ -_"


class TokenKeys:
    """MultiFernet. Whoever rotates keys puts the new one first, and takes the old one out when no row names it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(one) for one in keys])
        self._names = [_name(one) for one in keys]

    @classmethod
    def parse(cls, told: str | None) -> "TokenKeys":
        """The keys of the environment, with commas between them. Raises `TokenKeysWrong`."""
        keys = [one.strip() for one in (told or "").split(",") if one.strip()]
        if not keys:
            raise TokenKeysWrong(
                f"{VARIABLE} is not set: it holds the key that OAuth tokens are encrypted with, the same for every "
                f"worker and command; make one with `{MAKE_ONE}`"
            )
        for number, key in enumerate(keys, start=1):
            try:
                Fernet(key)
            except ValueError:
                raise TokenKeysWrong(
                    f"{VARIABLE}: key {number} of {len(keys)} is no key (32 bytes in URL-safe base64); make one with "
                    f"`{MAKE_ONE}`"
                ) from None
        return cls(keys)

    @property
    def newest(self) -> str:
        """A name for the key that seals: a digest, safe to store and to show."""
        return self._names[0]

    def check(self, sealed_with: str) -> None:
        """Raises `TokenKeysWrong` if none of the keys is the one of this name."""
        if sealed_with not in self._names:
            raise TokenKeysWrong(
                f"{VARIABLE} lacks the key {sealed_with}, with which stored tokens are encrypted (it has "
                f"{', '.join(self._names)}); add it behind the others, or connect again"
            )

    def seal(self, token: str) -> str:
        """Encrypted with the newest key."""
        return self._fernet.encrypt(token.encode()).decode("ascii")

    def open(self, sealed: str, *, sealed_with: str) -> str:
        """The token. Raises `TokenKeysWrong` if none of the keys opens it."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            self.check(sealed_with)
            raise TokenKeysWrong("stored tokens were changed after they were encrypted; connect again") from None

    def __repr__(self) -> str:
        return f"TokenKeys({', '.join(self._names)})"


def _name(key: str) -> str:
    return hashlib.sha256(f"pco-sync token key {key}".encode()).hexdigest()[:8]
