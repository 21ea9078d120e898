"""What is known of a service, of systemd or launchd."""

from dataclasses import dataclass


class ServiceError(Exception):
    """Nothing supervises programs here, or it refused; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class State:
    """One program: whether it runs, the supervisor's words for that, and whether a reboot needs nobody."""

    name: str
    runs: bool
    told: str
    starts_with_the_machine: bool
