"""`doctor`: whether a church's Planning Center keeps to what the design rests on."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def doctor(org_id: OrgId, /, *, json: Json = False) -> int:
    """Check what syncs rely on with a few hundred requests: exit code 3 if something fails or cannot be seen."""
    find_servers()
    from deployments.churches.doctor import examine_church

    return interrupts.run(examine_church(org_id, terminal(as_json=json), as_json=json))
