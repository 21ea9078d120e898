"""`cancel`: stop a fan-out."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import ChildEntity, Json, KnownEpoch, OrgId
from deployments.terminal import terminal


def cancel(org_id: OrgId, entity: ChildEntity, /, *, epoch: KnownEpoch, json: Json = False) -> int:
    """Stop a fan-out: no child starts any more, and the running ones stop."""
    find_servers()
    from deployments.operations.fan_outs import cancel as stop

    return interrupts.run(stop(org_id, entity, epoch, terminal(as_json=json), as_json=json))
