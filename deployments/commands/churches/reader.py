"""`churches reader`: a login for those who read one church with SQL."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def reader(org_id: OrgId, /, *, json: Json = False) -> int:
    """Make a role that reads one church's data only; show its address and what to enter in other programs."""
    find_servers()
    from deployments.churches.reader import show_new_reader

    return interrupts.run(show_new_reader(org_id, terminal(as_json=json), as_json=json))
