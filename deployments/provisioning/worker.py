"""A warm worker on our work pool."""

import sys
from collections.abc import Mapping
from typing import Final

from deployments.provisioning.declared import declared_pool
from deployments.provisioning.names import PERSONS, WORK_POOL_TYPE
from tasks.deployment_runs import BACKGROUND, CHILDREN, DELTAS

RESIDENTS: Final = "tasks.recovery.resident:stay,tasks.metrics.resident:stay"
"""What stays in our workers beside their runs: open connections, the recovery of what died elsewhere, and metrics."""
SHARES: Final = (
    f"{PERSONS}=0.8,{DELTAS}+{BACKGROUND}=0.8,{DELTAS}+{BACKGROUND}+{CHILDREN}=0.9,"
    f"{PERSONS}+{DELTAS}+{BACKGROUND}=-0.1,{BACKGROUND}=0.3,{CHILDREN}=0.5"
)
"""Of a worker's places. One in ten is always left for what a person starts, and one for children, whose parents keep
their own places until they are done; none of the others can keep deltas out.
"""


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker; what is set in it already stays."""
    ours = {
        "PCO_WORKER_RESIDENTS": RESIDENTS,
        "PCO_WORKER_SHARES": SHARES,
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # Prefect's 15 s make a first sync look stuck
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # the least; automations.yaml counts on it
    }
    return {**ours, **environment}


def worker_command(limit: int, *, health: bool = False) -> list[str]:
    """The command line of a worker that runs at most `limit` flow runs at a time. Raises `DeclarationError`.

    With `health` it answers `GET /health`, with 503 when it has ceased to look for runs.
    """
    return [
        sys.executable, "-m", "prefect", "worker", "start",
        "--pool", declared_pool(), "--type", WORK_POOL_TYPE, "--limit", str(limit),
        *(("--with-healthcheck",) if health else ()),
    ]  # fmt: skip
