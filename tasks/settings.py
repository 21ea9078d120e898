"""What a process is told by its environment; read when asked, never at import."""

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pco_client.redis_address import RedisAddressWrong, redis_address
from pco_store.database_url import parse_database_url
from pco_store.errors import DatabaseAddressWrong

PCO_BASE_URL = "https://api.planningcenteronline.com"


SYNC_ENTITY = "sync-entity/sync-list"
SYNC_CHILDREN = "sync-children/sync-below-parents"
SYNC_CHILD = "sync-child/sync-below-one-parent"
SYNC_ORGANIZATION = "sync-organization/sync-church"
"""The deployments that prefect.yaml makes."""


class SettingsError(Exception):
    """A setting is missing or wrong; the message names each variable and what it should be."""


class SyncSettings(BaseSettings):
    """Every setting of a sync, as `PCO_SYNC_*` environment variables (docs/settings.md)."""

    model_config = SettingsConfigDict(env_prefix="PCO_SYNC_", extra="ignore", env_ignore_empty=True)

    database_url: SecretStr = Field(description="Postgres that holds the mirror and the ledger")
    redis_url: SecretStr = Field(description="Redis for the rate budget, the progress and the receipts")
    pco_base_url: str = Field(default=PCO_BASE_URL, description="Where the church of PCO_SYNC_ORG_ID is read")
    org_id: str | None = Field(default=None, description="The church whose credentials stand in the environment")
    application_id: SecretStr | None = Field(default=None, description="Personal Access Token: application id")
    secret: SecretStr | None = Field(default=None, description="Personal Access Token: secret")
    client_id: str | None = Field(default=None, description="OAuth application: client id")
    client_secret: SecretStr | None = Field(
        default=None, description="OAuth application: secret; a public one has none"
    )
    token_keys: SecretStr | None = Field(
        default=None, description="Keys that encrypt OAuth tokens, with commas; the first one seals, all of them open"
    )
    entity_deployment: str = Field(
        default=SYNC_ENTITY, description="The deployment that continues a sync whose process died"
    )
    children_deployment: str = Field(
        default=SYNC_CHILDREN, description="The deployment that continues a fan-out whose process died"
    )
    organization_deployment: str = Field(
        default=SYNC_ORGANIZATION, description="The deployment that syncs a whole church, for schedules and recovery"
    )
    child_deployment: str = Field(default=SYNC_CHILD, description="The deployment that runs the children of a fan-out")
    contact: str = Field(default="", description="Who runs this, for PCO's support; part of the User-Agent")
    page_size: Annotated[int, Field(ge=1, le=100)] = Field(default=100, description="Records per request")
    pages_in_flight: Annotated[int, Field(ge=1, le=100)] = Field(
        default=16, description="Pages read at a time per sync"
    )
    part_records: Annotated[int, Field(ge=1, le=30_000)] = Field(
        default=25_000, description="Records above which a list is read in windows of time, where PCO can filter by it"
    )
    lease_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="How long a silent holder keeps a sync that nobody can prove dead"
    )
    start_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60.0,
        description="How long the flow run of a child may take to begin once a worker has it, before it is replaced",
    )
    retry_first_seconds: Annotated[float, Field(ge=0)] = Field(default=1.0, description="First wait before a retry")
    retry_total_seconds: Annotated[float, Field(ge=0)] = Field(
        default=300.0, description="All waits of one page together"
    )
    request_timeout_seconds: Annotated[float, Field(gt=0)] = Field(default=60.0, description="Patience for one answer")
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None, description="Where a warm worker answers GET /metrics; nowhere if it is not set"
    )

    @property
    def church_of_token(self) -> str | None:
        """The church whose token the environment names, if it names one."""
        return self.org_id if self.application_id and self.secret else None


def read_settings() -> SyncSettings:
    """The settings of this process. Raises `SettingsError`, which never repeats a value."""
    try:
        settings = SyncSettings()
        parse_database_url(settings.database_url.get_secret_value())
        redis_address(settings.redis_url.get_secret_value())
    except (DatabaseAddressWrong, RedisAddressWrong) as error:
        raise SettingsError(f"cannot start: {error}; see docs/settings.md") from None
    except ValidationError as error:
        problems = [
            f"PCO_SYNC_{'_'.join(str(part) for part in one['loc']).upper()}: "
            + ("is not set" if one["type"] == "missing" else one["msg"])
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError(
            "cannot start: " + "; ".join(problems) + ". `make demo` and `make up` set them for the embedded servers; "
            "see docs/settings.md for your own"
        ) from None
    return settings
