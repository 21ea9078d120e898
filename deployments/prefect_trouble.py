"""What is wrong with the Prefect that `PREFECT_API_URL` names, found by asking it once, in a line that leads on."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from prefect.settings import get_current_settings

from pco_network.proxies import proxy_variable
from pco_network.trouble import Trouble, network_trouble

PATIENCE = 10.0


class PrefectTroubleError(Exception):
    """Prefect cannot be used."""


def check_prefect() -> None:
    """Raises `PrefectTroubleError` with what is wrong, before somebody types a secret for nothing."""
    trouble = prefect_trouble()
    if trouble is not None:
        raise PrefectTroubleError(trouble)


def prefect_trouble() -> str | None:
    """Why no command can work with it; None if it answers as Prefect does, or is Prefect Cloud and lets us in."""
    settings = get_current_settings()
    url = (os.environ.get("PREFECT_API_URL") or settings.api.url or "").rstrip("/")
    headers: dict[str, str] = {}
    auth: httpx.Auth | None = None
    if settings.api.auth_string is not None:
        name, _, password = settings.api.auth_string.get_secret_value().partition(":")
        auth = httpx.BasicAuth(name, password)
    elif settings.api.key is not None:
        headers["Authorization"] = f"Bearer {settings.api.key.get_secret_value()}"
    is_cloud = url.startswith(settings.cloud.api_url.rstrip("/"))
    try:
        # No route of both kinds of server says who answers: a server of one's own has its version, Cloud its pools.
        with httpx.Client(
            auth=auth, headers=headers, timeout=PATIENCE, verify=not settings.api.tls_insecure_skip_verify
        ) as client:
            if is_cloud:
                answer = client.post(f"{url}/work_pools/filter", json={"limit": 1})
            else:
                answer = client.get(f"{url}/admin/version", follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return prefect_does_not_answer(error, {**os.environ, "PREFECT_API_URL": url})
    return _judged(answer, url, is_cloud=is_cloud)


def prefect_does_not_answer(error: Exception, environment: Mapping[str, str]) -> str:
    """One line: where it should be, through which proxy, and what happened; without a password in the address."""
    url = environment.get("PREFECT_API_URL", "")
    proxy = proxy_variable(url, environment)
    way = f" through the proxy of {proxy}" if proxy else ""
    trouble = network_trouble(error) or Trouble(words="the connection failed")
    return f"Prefect does not answer at {shown(url)}{way}: {trouble.words} ({type(error).__name__})"


def _judged(answer: httpx.Response, url: str, *, is_cloud: bool) -> str | None:
    if answer.status_code in (401, 403):
        return (
            f"Prefect at {shown(url)} refuses our credential (status {answer.status_code}): set PREFECT_API_KEY for "
            "Prefect Cloud, PREFECT_API_AUTH_STRING for a server with a password"
        )
    if answer.status_code >= 500:
        return f"Prefect at {shown(url)} answers with status {answer.status_code}; its log says why"
    if is_cloud and answer.status_code == 404:
        return f"Prefect Cloud has no workspace at {shown(url)}; see PREFECT_API_URL"
    if not is_cloud and not _is_version(answer):
        return (
            f"what answers at {shown(url)} is not Prefect's API (status {answer.status_code}); see PREFECT_API_URL, "
            "which ends in /api"
        )
    return None


def _is_version(answer: httpx.Response) -> bool:
    try:
        return answer.status_code == 200 and isinstance(answer.json(), str)
    except ValueError:
        return False


def shown(url: str) -> str:
    """An address without the password that may stand in it."""
    try:
        parts = urlsplit(url)
        if parts.username is None and parts.password is None:
            return url
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        return "the address that is set"
