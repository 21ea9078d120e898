"""`down`: stop what runs in the data folder."""

from deployments.environment import embedded_services
from deployments.exit_codes import DONE
from deployments.parameters import WrongArgumentError
from deployments.terminal import terminal


def down() -> int:
    """Stop what runs in the data folder; the data stays."""
    services, console = embedded_services(), terminal()
    from deployments.service.foreground import foreground_process
    from embedded.server_process import ServerProcess

    process = foreground_process(services)
    if process is not None:
        raise WrongArgumentError(
            f"process {process} (`pco-sync up --foreground`) would start them again, as a service does; stop that: "
            "pco-sync service remove"
        )
    for name in ("worker", "worker-2", "simulator"):
        if ServerProcess(name=name, home=services.home).stop():
            console.print(f"stopped {name}")
    for name in services.stop():
        console.print(f"stopped {name}")
    return DONE
