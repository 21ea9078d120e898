"""`churches rename`: what people call a church."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def rename(
    org_id: OrgId, name: Annotated[str, Parameter(name="NAME", help="What people call it.")], /, *, json: Json = False
) -> int:
    """Give a church another display name. Its org_id never changes."""
    find_servers()
    from deployments.churches.changing import rename as change

    return interrupts.run(change(org_id, name, terminal(as_json=json), as_json=json))
