"""Planning Center Online over HTTP: usable alone, without Prefect or Postgres."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pco_client.auth import Credential, PersonalAccessToken
from pco_client.documents import MalformedRecord, Page, Resource, read_resource
from pco_client.errors import PcoError
from pco_client.governor import Governor, GovernorUnavailable, ProcessGovernor
from pco_client.sansio import PageRequest, Where

if TYPE_CHECKING:
    from pco_client.client import FetchedPage, PcoClient
    from pco_client.redis_governor import RedisGovernor

__all__ = [
    "Credential",
    "FetchedPage",
    "Governor",
    "GovernorUnavailable",
    "MalformedRecord",
    "Page",
    "PageRequest",
    "PcoClient",
    "PcoError",
    "PersonalAccessToken",
    "ProcessGovernor",
    "RedisGovernor",
    "Resource",
    "Where",
    "read_resource",
]

_LOADED_WHEN_USED: Final = {"FetchedPage": "client", "PcoClient": "client", "RedisGovernor": "redis_governor"}
"""They import httpx and redis, which takes longer than a command may that only names a filter."""


def __getattr__(name: str) -> Any:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LOADED_WHEN_USED[name]}"), name)
