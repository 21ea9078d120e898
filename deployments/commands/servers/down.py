"""`down`: stop what runs in the data folder."""

from deployments.environment import embedded_services
from deployments.exit_codes import DONE
from deployments.terminal import terminal


def down() -> int:
    """Stop what runs in the data folder; the data stays."""
    from embedded.server_process import ServerProcess

    services, console = embedded_services(), terminal()
    for name in ("worker", "worker-2", "simulator"):
        if ServerProcess(name=name, home=services.home).stop():
            console.print(f"stopped {name}")
    for name in services.stop():
        console.print(f"stopped {name}")
    return DONE
