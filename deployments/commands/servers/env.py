"""`env`: where the servers are, for a shell."""

from deployments.environment import embedded_services


def env() -> int:
    """Print the variables for your shell: eval "$(pco-sync env)"."""
    services = embedded_services()
    from deployments.current.servers import print_environment

    return print_environment(services)
