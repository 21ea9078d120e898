"""`up`: the embedded servers."""

from deployments.commands.servers.deploy import deploy
from deployments.commands.servers.migrate import migrate
from deployments.commands.servers.status import status
from deployments.environment import embedded_services, find_servers
from deployments.exit_codes import DONE, INCOMPLETE
from deployments.terminal import terminal
from deployments.waiting import waiting


def up() -> int:
    """Start PostgreSQL, Redis and the Prefect server, migrate, deploy, and leave them running."""
    services = embedded_services()
    with waiting(terminal()) as shown:
        services.start(shown.show)
        services.keep()
        find_servers()
        shown.show("migrating the tables")
        migrate()
        shown.show("deploying the flows")
        deploy()
    code = status()
    return DONE if code == INCOMPLETE else code  # the servers are up: now the data can become current
