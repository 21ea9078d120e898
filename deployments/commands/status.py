"""`status`: what runs."""

from deployments.environment import embedded_services
from deployments.parameters import Json
from deployments.terminal import terminal


def status(*, json: Json = False) -> int:
    """Report what runs, where, and whether it answers."""
    from deployments.operations.status import show_status

    return show_status(embedded_services(), terminal(as_json=json), as_json=json)
