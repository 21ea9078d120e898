"""`views`: the view of a church's custom fields."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def views(org_id: OrgId, /, *, json: Json = False) -> int:
    """Make the view of a church's custom fields again."""
    find_servers()
    from deployments.operations.views import make_views

    return interrupts.run(make_views(org_id, terminal(as_json=json), as_json=json))
