"""`connect`: a church's credentials."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def connect(
    org_id: OrgId,
    /,
    *,
    base_url: Annotated[str | None, Parameter(help="Where Planning Center answers, for a simulator.")] = None,
    json: Json = False,
) -> int:
    """Check a church's Personal Access Token with Planning Center, and store it with Prefect."""
    find_servers()
    from deployments.operations.connect import ask_and_connect

    return ask_and_connect(org_id, base_url, terminal(as_json=json), as_json=json)
