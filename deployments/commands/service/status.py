"""`service status`: whether the machine runs them."""

from deployments.parameters import Json
from deployments.terminal import terminal


def status(*, json: Json = False) -> int:
    """Show whether the services run and start with the machine: exit code 1 if one does not run."""
    from deployments.service.managing import show

    return show(terminal(as_json=json), as_json=json)
