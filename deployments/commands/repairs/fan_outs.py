"""`fan-outs`: what is read per parent."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def fan_outs(org_id: OrgId, /, *, json: Json = False) -> int:
    """List a church's fan-outs, and their dead children."""
    find_servers()
    from deployments.operations.fan_outs import show_fan_outs

    return interrupts.run(show_fan_outs(org_id, terminal(as_json=json), as_json=json))
