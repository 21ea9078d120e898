"""The few posts of OAuth, each with patience for one answer in all: whoever waits may hold a lock."""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

from pco_client.auth import AccessToken
from pco_client.client import unanswered, user_agent
from pco_client.errors import Unreachable
from pco_client.oauth import (
    ConsentingUser,
    OAuthClient,
    TokenPair,
    check_revoked,
    code_form,
    form_request,
    read_pair,
    read_user,
    refresh_form,
    revoke_form,
)
from pco_client.sansio import HttpRequest, HttpResponse

ANSWER_SECONDS: Final = 15.0


class TokenEndpoint:
    """`/oauth/token` and what belongs to it, for one application. No rate limit of it is known, and none is taken."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        base_url: str,
        client: OAuthClient,
        user_agent: str = user_agent(),
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._client = client
        self._user_agent = user_agent
        self._answer_seconds = answer_seconds

    async def refresh(self, refresh_token: str) -> TokenPair:
        """The next pair. Raises `GrantRefused`, `ClientRefused`; `RetryError` if the answer may have been lost."""
        return read_pair(await self._post("token", refresh_form(self._client, refresh_token)))

    async def exchange(self, code: str, *, redirect_uri: str, verifier: str) -> TokenPair:
        """The first pair of a consent. Raises the same."""
        form = code_form(self._client, code=code, redirect_uri=redirect_uri, verifier=verifier)
        return read_pair(await self._post("token", form))

    async def revoke(self, token: str) -> None:
        """Let the pair of a token open nothing any more. Raises `ClientRefused`, and errors that pass."""
        check_revoked(await self._post("revoke", revoke_form(self._client, token)))

    async def who(self, token: AccessToken) -> ConsentingUser:
        """Whose token it is."""
        headers = {
            "Authorization": token.authorization(),
            "User-Agent": self._user_agent,
            "Accept": "application/json",
        }
        request = HttpRequest(method="GET", url=f"{self._base_url}/oauth/userinfo", headers=headers)
        return read_user(await self._send(request, None))

    async def _post(self, what: str, form: Mapping[str, str]) -> HttpResponse:
        return await self._send(form_request(self._base_url, what, self._user_agent), form)

    async def _send(self, request: HttpRequest, form: Mapping[str, str] | None) -> HttpResponse:
        where = f"{request.method} /oauth/{request.url.rpartition('/')[2]}"
        try:
            async with asyncio.timeout(self._answer_seconds):
                answer = await self._http.request(request.method, request.url, headers=dict(request.headers), data=form)
        except TimeoutError:
            raise Unreachable(f"no answer from PCO within {self._answer_seconds:g} s", where=where) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unanswered(error, request.url, where=where) from None
        except httpx.DecodingError:
            raise Unreachable("the answer was cut off or garbled on its way", where=where) from None
        return HttpResponse(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=answer.content,
        )
