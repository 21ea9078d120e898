"""`service remove`: the machine runs them no longer."""

from deployments.terminal import terminal


def remove() -> int:
    """Stop the services and remove them; the data and the settings stay."""
    from deployments.service.managing import remove as take_back

    return take_back(terminal())
