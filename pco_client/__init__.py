"""Planning Center Online over HTTP: usable alone, without Prefect or Postgres."""

from pco_client.auth import Credential, PersonalAccessToken
from pco_client.client import FetchedPage, PcoClient
from pco_client.documents import MalformedRecord, Page, Resource, read_resource
from pco_client.errors import PcoError
from pco_client.governor import Governor, GovernorUnavailable, ProcessGovernor
from pco_client.redis_governor import RedisGovernor
from pco_client.sansio import PageRequest, Where

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
