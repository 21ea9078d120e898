"""`reproject`: from `extra` to columns."""

from typing import Annotated

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, MirroredEntity, OrgId, WrongArgumentError
from deployments.terminal import terminal


def reproject(
    org_id: OrgId | None = None,
    /,
    *,
    all: Annotated[bool, Parameter(show_default=False, help="All churches.")] = False,
    entity: MirroredEntity | None = None,
    json: Json = False,
) -> int:
    """Bring values from `extra` to columns that can hold them by now."""
    if (org_id is None) is not all:
        raise WrongArgumentError("name a church, or --all of them; not both")
    find_servers()
    from deployments.operations.reproject import reproject as reprojected

    return interrupts.run(reprojected(org_id, entity, terminal(as_json=json), as_json=json))
