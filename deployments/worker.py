"""A warm worker on our work pool."""

import sys
from pathlib import Path

from deployments.names import WORK_POOL, WORK_POOL_TYPE
from embedded.server_process import ServerProcess

PROJECT = Path(__file__).parent.parent


def worker_command(limit: int) -> list[str]:
    """The command line of a worker that runs at most `limit` flow runs at a time."""
    return [
        sys.executable, "-m", "prefect", "worker", "start",
        "--pool", WORK_POOL, "--type", WORK_POOL_TYPE, "--limit", str(limit),
    ]  # fmt: skip


def worker_process(home: Path) -> ServerProcess:
    """The worker that a demo keeps in the background."""
    return ServerProcess(name="worker", home=home)
