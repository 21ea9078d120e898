"""`status`: what runs, and whether the data is current."""

from deployments.parameters import Json, OrgId
from deployments.terminal import terminal


def status(org_id: OrgId | None = None, /, *, json: Json = False) -> int:
    """Report whether the data is current, of all churches or of one, and what keeps it so: exit code 3 if it is not."""
    from deployments.operations.status import show_status

    return show_status(org_id, terminal(as_json=json), as_json=json)
