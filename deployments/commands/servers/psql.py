"""`psql`: SQL on the mirror."""

from typing import Annotated

from cyclopts import Parameter


def psql(
    *, command: Annotated[str | None, Parameter(name=["--command", "-c"], help="Run one statement.")] = None
) -> int:
    """Open psql on the mirror."""
    from deployments.operations.psql import open_psql

    return open_psql(command)
