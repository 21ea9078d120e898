"""`psql`: SQL on the mirror."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import embedded_services


def psql(
    *, command: Annotated[str | None, Parameter(name=["--command", "-c"], help="Run one statement.")] = None
) -> int:
    """Open psql on the mirror."""
    from deployments.operations.psql import open_psql

    return open_psql(embedded_services(), command)
