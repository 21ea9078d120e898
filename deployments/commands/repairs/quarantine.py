"""`quarantine`: list what could not be stored."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, MirroredEntity, OrgId
from deployments.terminal import terminal


def quarantine(org_id: OrgId, /, *, entity: MirroredEntity | None = None, json: Json = False) -> int:
    """List what could not be stored or fetched, without the records."""
    find_servers()
    from deployments.operations.quarantine import show_quarantine

    return interrupts.run(show_quarantine(org_id, entity, terminal(as_json=json), as_json=json))
