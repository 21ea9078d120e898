"""`churches remove`: let a church go, with everything that is there of it."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def remove(
    org_id: OrgId,
    /,
    *,
    yes: Annotated[bool, Parameter(show_default=False, help="Do it. Left out: only show what would go.")] = False,
    json: Json = False,
) -> int:
    """Show what there is of a church in Postgres, Redis and Prefect; with --yes remove it, for good."""
    find_servers()
    from deployments.churches.removing import remove as let_go

    return interrupts.run(let_go(org_id, terminal(as_json=json), really=yes, as_json=json))
