"""`worker`: what runs the flows."""

import os
from typing import Annotated

from cyclopts import Parameter, validators

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import WrongArgumentError


def worker(
    *,
    limit: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=2),
            help="Flow runs at a time, two at least: what has children keeps its place until they are done.",
        ),
    ] = 20,
    health: Annotated[
        bool,
        Parameter(show_default=False, help="Answer GET /health on port 8080, or PREFECT_WORKER_WEBSERVER_PORT."),
    ] = False,
) -> int:
    """Run a worker of the work pool until Ctrl-C."""
    find_servers()
    from deployments.provisioning.declared import declared_pool
    from deployments.provisioning.provision import other_type
    from deployments.provisioning.worker import worker_command, worker_environment

    pool = declared_pool()
    kind = interrupts.run(other_type(pool))
    if kind is not None:
        raise WrongArgumentError(
            f"the work pool {pool} of prefect.yaml is of the type {kind}; "
            f"its worker is started by: .venv/bin/prefect worker start --pool {pool}"
        )
    command = worker_command(limit, health=health)
    os.execve(command[0], command, worker_environment(os.environ))
