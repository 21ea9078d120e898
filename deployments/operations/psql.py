"""How psql reaches the mirror: the database of your own, if PCO_SYNC_DATABASE_URL names one."""

import shutil
from collections.abc import Mapping

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
