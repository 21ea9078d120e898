"""`churches reader`: makes the role, and says how other programs log in with it."""

from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rich.console import Console

from deployments.churches.known import check_known
from deployments.ended import print_document
from deployments.environment import ServersNotFoundError, embedded_services
from deployments.exit_codes import DONE
from deployments.terminal import print_plain
from pco_store.churches.readers import Reader, current_database, make_reader
from pco_store.database import Database
from pco_store.database_url import DatabaseAddress, parse_database_url
from pco_store.schema_check import check_schema
from tasks.settings import read_settings

LOOPBACK: Final = "127.0.0.1"


async def show_new_reader(org_id: str, console: Console, *, as_json: bool) -> int:
    """Raises `UnknownChurchError`, `ChurchRemoved`, and the errors of the store."""
    url = read_settings().database_url.get_secret_value()
    await check_known(org_id)
    async with Database(url, pool_size=1) as database:
        async with database.transaction() as connection:
            await check_schema(connection)
            database_name = await current_database(connection)
        made = await make_reader(database, org_id)
    at = parse_database_url(url)
    host, port = _reachable(at)
    told = {
        "host": host,
        "port": port,
        "database": database_name,
        "user": made.role_name,
        "password": made.password,
        "ssl_mode": at.ssl_mode or "prefer",
        "url": reader_url(host, port, at.ssl_mode, database_name, made),
    }
    if as_json:
        print_document({"org_id": org_id, **told, "exit_code": DONE})
        return DONE
    lines = [
        f"{made.role_name} reads the data of {org_id}, and nothing else. Its password is shown this once:",
        str(told["url"]),
        "In Metabase, Power BI or Excel choose PostgreSQL, and enter",
        *(f"  {one:<10}{told[one]}" for one in ("host", "port", "database", "user", "password")),
    ]
    if host.startswith("/"):
        lines.append(
            "This PostgreSQL listens on a socket only: programs of this machine and user reach it, no others"
            " (see PCO_SYNC_POSTGRES_PORT)"
        )
    elif host == LOOPBACK:
        lines.append("This PostgreSQL listens for programs of this machine only")
    print_plain(console, *lines)
    return DONE


def reader_url(host: str, port: int, ssl_mode: str | None, database: str, reader: Reader) -> str:
    """The address with which the reader logs in."""
    credentials = f"{quote(reader.role_name, safe='')}:{quote(reader.password, safe='')}"
    if host.startswith("/"):
        return f"postgresql://{credentials}@/{quote(database, safe='')}?host={host}"
    mode = f"?sslmode={ssl_mode}" if ssl_mode else ""
    shown = f"[{host}]" if ":" in host else host
    return f"postgresql://{credentials}@{shown}:{port}/{quote(database, safe='')}{mode}"


def _reachable(at: DatabaseAddress) -> tuple[str, int]:
    """Where other programs find the server: of the embedded one its port, not the socket that only we may open."""
    host = at.hosts[0] if at.hosts else "localhost"
    if host.startswith("/"):
        with suppress(ServersNotFoundError):
            postgres = embedded_services().postgres
            if postgres.data == Path(host) and postgres.port is not None:
                return LOOPBACK, postgres.port
    return host, (at.ports[0] if at.ports and at.ports[0] else 5432)
