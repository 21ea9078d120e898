"""`churches pause`: no schedule syncs a church for now."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def pause(org_id: OrgId, /, *, json: Json = False) -> int:
    """Keep schedules from syncing a church. A sync that runs goes on, and OAuth tokens are kept alive."""
    find_servers()
    from deployments.churches.changing import set_scheduled

    scheduled = False
    return interrupts.run(set_scheduled(org_id, scheduled, terminal(as_json=json), as_json=json))
