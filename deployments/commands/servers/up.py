"""`up`: the embedded servers."""

from typing import Annotated

from cyclopts import Parameter

from deployments.commands.servers.deploy import deploy
from deployments.commands.servers.migrate import migrate
from deployments.commands.servers.status import status
from deployments.environment import embedded_services, find_servers
from deployments.exit_codes import DONE, INCOMPLETE
from deployments.terminal import terminal
from deployments.waiting import waiting


def up(
    *,
    foreground: Annotated[
        bool, Parameter(show_default=False, help="Stay, start again what ends, and stop them when this is stopped.")
    ] = False,
) -> int:
    """Start PostgreSQL, Redis and the Prefect server, migrate, deploy, and leave them running."""
    services = embedded_services()
    if foreground:
        from deployments.service.foreground import stay

        return stay(services, _start)
    _start()
    code = status()
    return DONE if code == INCOMPLETE else code  # the servers are up: now the data can become current


def _start() -> None:
    services = embedded_services()
    with waiting(terminal()) as shown:
        services.start(shown.show)
        services.keep()
        find_servers()
        shown.show("migrating the tables")
        migrate()
        shown.show("deploying the flows")
        deploy()
