"""`replay`: dead children live again."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import ChildEntity, Json, KnownEpoch, NoWatch, OrgId
from deployments.terminal import terminal


def replay(
    org_id: OrgId, entity: ChildEntity, /, *, epoch: KnownEpoch, no_watch: NoWatch = False, json: Json = False
) -> int:
    """Read the dead and cancelled children of a fan-out again, and watch."""
    find_servers()
    from deployments.operations.replay import replay as replayed

    console = terminal(as_json=json)
    return interrupts.run(replayed(org_id, entity, epoch, console, no_watch=no_watch, as_json=json))
