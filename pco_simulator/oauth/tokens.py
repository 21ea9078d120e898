"""Codes and tokens: who may read which church, until when, and what becomes of a pair that was rotated. No socket.

Planning Center's error texts are those of the Ruby gem Doorkeeper, which rotates in one of two ways
(`lib/doorkeeper/oauth/refresh_token_request.rb`): a pair that was refreshed is revoked when the new access token is
first used (`on-use`), or in the moment of the refresh (`at-once`). What was observed (#879) speaks for the first.
"""

import base64
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Rotation = Literal["on-use", "at-once"]

CODE_SECONDS: Final = 600.0


class Refused(Exception):  # noqa: N818 - an answer of the provider, not a defect
    """What OAuth calls the error, and Doorkeeper's words for it."""

    def __init__(self, error: str, words: str) -> None:
        super().__init__(error)
        self.error = error
        self.words = words


DEAD: Final = (
    "invalid_grant",
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client.",
)
TOO_OLD: Final = ("invalid_request", "The refresh token is no longer valid")
"""What a refresh token of more than 90 days was answered with (#1310)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """What a user has agreed to: `organization` is the church's id, `sub` the user's."""

    client_id: str
    organization: str
    sub: str
    scopes: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class Pair:
    """An access token with its refresh token. `lag`: so many of its first uses are still answered 401 (#624)."""

    consent: Consent
    access: str
    refresh: str
    issued_at: float
    lag: int = 0
    is_revoked: bool = False
    is_used: bool = False
    previous: "Pair | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Code:
    consent: Consent
    redirect_uri: str
    challenge: str
    issued_at: float


@dataclass(kw_only=True)
class TokenStore:
    """Every code and pair. Times are seconds on the provider's clock."""

    rotation: Rotation = "on-use"
    access_seconds: float = 7200.0
    refresh_seconds: float = 90 * 86400.0
    lag: int = 0

    def __post_init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self._pairs: list[Pair] = []
        self._numbers = itertools.count(1)

    def new_code(self, consent: Consent, *, redirect_uri: str, challenge: str, now: float) -> str:
        """A code for a consent that was just given; good once, for ten minutes."""
        code = f"code-{next(self._numbers)}-canary"
        self._codes[code] = _Code(consent=consent, redirect_uri=redirect_uri, challenge=challenge, issued_at=now)
        return code

    def exchange(self, code: str, *, client_id: str, redirect_uri: str, verifier: str, now: float) -> Pair:
        """The first pair of a consent. Raises `Refused`."""
        known = self._codes.pop(code, None)
        if (
            known is None
            or known.consent.client_id != client_id
            or known.redirect_uri != redirect_uri
            or now > known.issued_at + CODE_SECONDS
            or (known.challenge and challenge_of(verifier) != known.challenge)
        ):
            raise Refused(*DEAD)
        return self._new_pair(known.consent, now)

    def refresh(self, token: str, *, client_id: str, now: float) -> Pair:
        """The next pair. Raises `Refused`."""
        old = next((one for one in self._pairs if one.refresh == token), None)
        if old is None or old.is_revoked or old.consent.client_id != client_id:
            raise Refused(*DEAD)
        if now > old.issued_at + self.refresh_seconds:
            raise Refused(*TOO_OLD)
        if self.rotation == "at-once":
            old.is_revoked = True
        pair = self._new_pair(old.consent, now)
        pair.previous = old
        return pair

    def hint_against(self, access: str, *, now: float) -> tuple[Consent | None, str]:
        """Whose access token it is, and PCO's word if it does not open anything; its first use revokes the old pair."""
        pair = next((one for one in self._pairs if one.access == access), None)
        if pair is None:
            return None, "BLACKBIRD"
        if pair.is_revoked:
            return pair.consent, "CAPUCHIN"
        if now > pair.issued_at + self.access_seconds:
            return pair.consent, "BABOON"
        if pair.lag:
            pair.lag -= 1
            return pair.consent, "BABOON"
        if not pair.is_used:
            pair.is_used = True
            self._revoke_previous(pair)
        return pair.consent, ""

    def consent_of(self, access: str) -> Consent | None:
        """Whose access token it is, good or not."""
        return next((one.consent for one in self._pairs if one.access == access), None)

    def organization_of_refresh(self, token: str) -> str:
        """The church that a refresh token is for, good or not; '' if it is nobody's."""
        return next((one.consent.organization for one in self._pairs if one.refresh == token), "")

    def revoke(self, token: str) -> None:
        """The pair of an access or a refresh token opens nothing any more."""
        for pair in self._pairs:
            if token in (pair.access, pair.refresh):
                pair.is_revoked = True

    def revoke_all(self, organization: str | None = None) -> None:
        """All pairs, or those of a church, are dead, as all of one application were on a day of April 2025 (#1310)."""
        for pair in self._of(organization):
            pair.is_revoked = True

    def expire_all(self, organization: str | None = None) -> None:
        """All access tokens, or those of a church, expire in this moment."""
        for pair in self._of(organization):
            pair.issued_at -= self.access_seconds + 1

    def pairs_alive(self, organization: str) -> int:
        """How many refresh tokens of a church are good."""
        return sum(not one.is_revoked for one in self._of(organization))

    def _of(self, organization: str | None) -> Iterable[Pair]:
        return [one for one in self._pairs if organization in (None, one.consent.organization)]

    def _new_pair(self, consent: Consent, now: float) -> Pair:
        number = next(self._numbers)
        pair = Pair(
            consent=consent,
            access=f"access-{number}-canary",
            refresh=f"refresh-{number}-canary",
            issued_at=now,
            lag=self.lag,
        )
        self._pairs.append(pair)
        return pair

    def _revoke_previous(self, pair: Pair) -> None:
        """The pair that this one came from dies, and with it what else came from it: they kill each other (#879)."""
        if pair.previous is None:
            return
        pair.previous.is_revoked = True
        for one in self._pairs:
            if one is not pair and one.previous is pair.previous:
                one.is_revoked = True


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii", errors="replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
