"""Which servers a command talks to: the ones your environment names, else the embedded ones."""

import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from pco_network.proxies import prepare_proxies

if TYPE_CHECKING:
    from embedded.services import Services

NEEDED = ("PREFECT_API_URL", "PCO_SYNC_DATABASE_URL", "PCO_SYNC_REDIS_URL")


class ServersNotFoundError(Exception):
    """Neither does the environment name all servers, nor do the embedded ones run."""


def complete_environment(services: "Services", environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what is missing from the embedded servers. Call it before anything imports Prefect.

    Raises `ServersNotFoundError`, `ProxySettingWrong`.
    """
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        _complete(services, environment, missing)
    prepare_proxies(environment)


def _complete(services: "Services", environment: MutableMapping[str, str], missing: list[str]) -> None:
    try:
        found = embedded_environment(services)
    except ServersNotFoundError as error:
        raise ServersNotFoundError(f"{', '.join(missing)} not set, and {error}") from None
    for name, value in found.items():
        if not environment.get(name):
            environment[name] = value


def embedded_environment(services: "Services") -> Mapping[str, str]:
    """The variables that lead to the embedded servers. Raises `ServersNotFoundError`."""
    try:
        return services.environment()
    except RuntimeError as error:
        raise ServersNotFoundError(
            f"the embedded servers do not run ({error}). "
            "Start them with `make up`, or name your own servers (docs/settings.md)"
        ) from None


def find_servers() -> None:
    """For a Python program of your own: use the servers that your environment names, else the embedded ones.

    Call it before anything imports Prefect, which reads its settings then. Raises `ServersNotFoundError`,
    `ProxySettingWrong`, and `UnusableHomeError`.
    """
    if all(os.environ.get(name) for name in NEEDED):
        prepare_proxies(os.environ)
    else:
        complete_environment(embedded_services())


def embedded_services() -> "Services":
    """The embedded servers of this user's data folder.

    Raises `ServersNotFoundError` where there are none, as in our image, and `UnusableHomeError`.
    """
    try:
        from embedded.home import services_home
        from embedded.services import Services
    except ModuleNotFoundError as error:
        raise ServersNotFoundError(
            f"{', '.join(NEEDED)} have to name your servers (docs/settings.md): there are none with this installation "
            f"({error})"
        ) from None
    return Services(services_home())
