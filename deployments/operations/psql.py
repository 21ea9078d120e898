"""How psql reaches the mirror: the database of your own, if PCO_SYNC_DATABASE_URL names one."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence

from deployments.environment import ServersNotFoundError, embedded_services
from pco_store.connecting import libpq_environment
from pco_store.database_url import parse_database_url


class PsqlMissingError(Exception):
    """There is no psql on this machine."""


def psql_for(url: str, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment with what the address says. Raises `PsqlMissingError`."""
    program = shutil.which("psql")
    if program is None:
        raise PsqlMissingError("psql is not installed; on Debian and Ubuntu: apt install postgresql-client")
    return [program], {**environment, **libpq_environment(parse_database_url(url))}


def open_psql(statement: str | None) -> int:
    """Run it; its exit code. Works after `down` and after the demo too: then PostgreSQL runs as long as psql does.

    Raises `PsqlMissingError`, `ServersNotFoundError`.
    """
    words = () if statement is None else ("-c", statement)
    address = os.environ.get("PCO_SYNC_DATABASE_URL", "")
    try:
        services = embedded_services()
    except ServersNotFoundError:
        if not address:
            raise
        services = None
    if services is None or (address and str(services.postgres.data) not in address):
        command, environment = psql_for(address, os.environ)
        return _run([*command, *words], environment)
    from embedded.services import MIRROR_DATABASE

    was_up = services.postgres.is_running
    if not was_up:
        services.postgres.start()
    try:
        services.postgres.create_database(MIRROR_DATABASE)
        return _run([*services.postgres.psql_command(MIRROR_DATABASE), *words], os.environ)
    finally:
        if not was_up:
            services.postgres.stop()


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to psql, where it ends a statement
    return subprocess.run(command, env=environment, preexec_fn=_take_interrupts, check=False).returncode


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
