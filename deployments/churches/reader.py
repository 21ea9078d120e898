"""`churches reader`: makes the role, and says how other programs log in with it."""

from urllib.parse import quote

from rich.console import Console

from deployments.churches.known import check_known
from deployments.ended import print_document
from deployments.exit_codes import DONE
from pco_store.churches.readers import current_database, make_reader
from pco_store.database import Database
from pco_store.database_url import DatabaseAddress, parse_database_url
from pco_store.schema_check import check_schema
from tasks.settings import read_settings


async def show_new_reader(org_id: str, console: Console, *, as_json: bool) -> int:
    """Raises `UnknownChurchError`, `ChurchRemoved`, and the errors of the store."""
    url = read_settings().database_url.get_secret_value()
    await check_known(org_id)
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await check_schema(connection)
            database_name = await current_database(connection)
        made = await make_reader(database, org_id)
    finally:
        await database.aclose()
    at = parse_database_url(url)
    host, port = _where(at)
    told = {
        "host": host,
        "port": port,
        "database": database_name,
        "user": made.role_name,
        "password": made.password,
        "ssl_mode": at.ssl_mode or "prefer",
        "url": reader_url(at, database_name, made.role_name, made.password),
    }
    if as_json:
        print_document({"org_id": org_id, **told, "exit_code": DONE})
        return DONE
    lines = [
        f"{made.role_name} reads the data of {org_id}, and nothing else. The password is shown this once:",
        str(told["url"]),
        "In Metabase, Power BI or Excel choose PostgreSQL, and enter",
        *(f"  {one:<10}{told[one]}" for one in ("host", "port", "database", "user", "password")),
    ]
    if host.startswith("/"):
        lines.append("This PostgreSQL listens on a socket only: programs of this machine and user reach it, no others")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return DONE


def reader_url(at: DatabaseAddress, database: str, user: str, password: str) -> str:
    """The address of the same server and database for another user."""
    host, port = _where(at)
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
    if host.startswith("/"):
        return f"postgresql://{credentials}@/{quote(database, safe='')}?host={host}"
    mode = f"?sslmode={at.ssl_mode}" if at.ssl_mode else ""
    shown = f"[{host}]" if ":" in host else host
    return f"postgresql://{credentials}@{shown}:{port}/{quote(database, safe='')}{mode}"


def _where(at: DatabaseAddress) -> tuple[str, int]:
    host = at.hosts[0] if at.hosts else "localhost"
    return host, (at.ports[0] if at.ports and at.ports[0] else 5432)
