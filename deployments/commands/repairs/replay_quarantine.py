"""`replay-quarantine`: try again to store what is in quarantine."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, MirroredEntity, NoWatch, OrgId
from deployments.terminal import terminal


def replay_quarantine(
    org_id: OrgId, /, *, entity: MirroredEntity | None = None, no_watch: NoWatch = False, json: Json = False
) -> int:
    """Try again what could not be stored, and watch."""
    find_servers()
    from deployments.operations.replay_quarantine import replay_quarantine as replayed

    return interrupts.run(replayed(org_id, entity, terminal(as_json=json), no_watch=no_watch, as_json=json))
