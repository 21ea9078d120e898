"""What can be set for a warm worker, by environment variables that begin with `PCO_WORKER_`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WarmWorkerSettings(BaseSettings):
    """Read when the worker is made, never at import."""

    model_config = SettingsConfigDict(env_prefix="PCO_WORKER_", extra="ignore")

    limit: int = Field(default=20, ge=1)
    """Runs at a time when `--limit` is not given."""

    drain_seconds: float = Field(default=30, ge=0)
    """How long runs may go on after the first SIGTERM or Ctrl-C."""

    cleanup_seconds: float = Field(default=10, ge=0)
    """How long the runs that are stopped then may take to clean up."""

    cancel_poll_seconds: float = Field(default=2, gt=0)
    """How often the worker asks whether one of its runs is to be cancelled or suspended."""

    deployment_cache_seconds: float = Field(default=30, ge=0)
    """How long a deployment's entry point and pull steps are taken as known."""

    shares: str = ""
    """How much of the limit the runs of some work queues may take together, such as `fast+slow=0.9,slow=0.3`."""

    residents: str = ""
    """Functions that stay in the process beside its runs, as `module:function`, with commas between them."""
