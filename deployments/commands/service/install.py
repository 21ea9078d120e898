"""`service install`: from now on the machine runs them."""

from deployments.terminal import terminal


def install() -> int:
    """Let systemd or launchd run the servers and the worker, now and after a reboot: as root for the machine."""
    from deployments.service.managing import install as hand_over

    return hand_over(terminal())
