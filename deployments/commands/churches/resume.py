"""`churches resume`: schedules sync a church again."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def resume(org_id: OrgId, /, *, json: Json = False) -> int:
    """Let schedules sync a church again."""
    find_servers()
    from deployments.churches.changing import set_scheduled

    scheduled = True
    return interrupts.run(set_scheduled(org_id, scheduled, terminal(as_json=json), as_json=json))
