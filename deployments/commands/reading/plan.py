"""`plan`: what a sync would cost, and the days after it."""

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import ChurchMode, Exclude, Include, Json, OrgId, words
from deployments.terminal import terminal


def plan(
    org_id: OrgId, /, *, mode: ChurchMode = "full", include: Include = (), exclude: Exclude = (), json: Json = False
) -> int:
    """Ask Planning Center for counts, and report what a sync of a church would cost, and each day after it."""
    find_servers()
    from deployments.operations.plan import show_plan

    console = terminal(as_json=json)
    return interrupts.run(show_plan(org_id, mode, words(include), words(exclude), console, as_json=json))
