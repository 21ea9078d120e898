"""From what a connection string says to what asyncpg is called with: TLS, files, and libpq's variables."""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from pco_store.database_url import VARIABLE, DatabaseAddress
from pco_store.errors import DatabaseAddressWrong

WITHOUT_NAMES: Final[Mapping[str, Any]] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""For SQLAlchemy's driver: statements have no names, for a shared connection may know another's by the same one."""

_LIBPQ_TLS: Final = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}


def connect_arguments(address: DatabaseAddress, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The keywords of `asyncpg.connect`. Raises `DatabaseAddressWrong`, for instance when a file is missing."""
    told: dict[str, Any] = {
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "target_session_attrs": address.target_session_attrs,
    }
    arguments = {name: value for name, value in told.items() if value is not None}
    arguments |= {
        "timeout": address.connect_seconds,
        "server_settings": dict(address.server_settings),
        "max_cacheable_statement_size": 0,  # no limit: an upsert of many columns is long, and slow to plan
        **address.further,
        **_tls(address, environment),
    }
    ports = [port or _usual_port(environment) for port in address.ports]
    if address.hosts:
        arguments["host"] = list(address.hosts)
        arguments["port"] = ports or [_usual_port(environment)] * len(address.hosts)
    elif ports:
        arguments["port"] = ports[0]
    return arguments


def libpq_environment(address: DatabaseAddress) -> dict[str, str]:
    """The same for psql: variables, because other users of the machine can read what stands in a command line."""
    ports = ",".join(str(port or "") for port in address.ports)
    told = {
        "PGHOST": ",".join(address.hosts),
        "PGPORT": ports,
        "PGUSER": address.user,
        "PGPASSWORD": address.password,
        "PGDATABASE": address.database,
        "PGSSLMODE": address.ssl_mode,
        "PGCHANNELBINDING": "require" if address.needs_proven_server else None,
        "PGTARGETSESSIONATTRS": address.target_session_attrs,
        "PGOPTIONS": address.server_settings.get("options"),
        "PGCONNECT_TIMEOUT": str(int(address.connect_seconds)),
        "PGAPPNAME": "psql",
        **{name: address.tls.get(parameter) for parameter, name in _LIBPQ_TLS.items()},
        "PGPASSFILE": address.further.get("passfile"),
        "PGSERVICE": address.further.get("service"),
    }
    return {name: value for name, value in told.items() if value}


def _usual_port(environment: Mapping[str, str]) -> int:
    text = environment.get("PGPORT", "")
    return int(text) if text.isdecimal() else 5432


def _tls(address: DatabaseAddress, environment: Mapping[str, str]) -> dict[str, Any]:
    """Without a file of authorities a server is proven against the system's, where libpq would refuse to connect."""
    mode = address.ssl_mode or environment.get("PGSSLMODE") or None
    tls = dict(address.tls)
    proves_all = address.needs_proven_server or mode == "verify-full"
    has_authorities = bool(tls.get("sslrootcert") or environment.get("PGSSLROOTCERT")) or _usual_file("root.crt")
    if mode != "disable" and (tls.get("sslrootcert") == "system" or (proves_all and not has_authorities)):
        return _against_the_system(tls)
    if mode == "verify-ca" and not has_authorities:
        raise DatabaseAddressWrong(f"sslmode=verify-ca in {VARIABLE} needs sslrootcert, a file of authorities")
    _check_files(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)
    if proves_all:
        mode = "verify-full"
    if not tls:
        return {} if mode is None else {"ssl": mode}
    return {"dsn": "postgresql://?" + urlencode(tls if mode is None else {"sslmode": mode, **tls})}


def _against_the_system(tls: Mapping[str, str]) -> dict[str, Any]:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    _check_files(context, {name: value for name, value in tls.items() if name != "sslrootcert"})
    return {"ssl": context, **({"direct_tls": True} if tls.get("sslnegotiation") == "direct" else {})}


def _check_files(context: ssl.SSLContext, tls: Mapping[str, str]) -> None:
    """Load them: at the first connection a missing file would look like a database that is away."""
    authorities, chain = tls.get("sslrootcert"), tls.get("sslcert")
    if authorities:
        _load("sslrootcert", authorities, lambda: context.load_verify_locations(authorities))
    if tls.get("sslcrl"):
        _load("sslcrl", tls["sslcrl"], lambda: context.load_verify_locations(tls["sslcrl"]))
    if chain:
        key, password = tls.get("sslkey"), tls.get("sslpassword", "")
        _load("sslcert or sslkey", chain, lambda: context.load_cert_chain(chain, key, lambda: password))


def _load(name: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError:
        raise DatabaseAddressWrong(f"{name} in {VARIABLE}: {file} does not hold what it should (PEM)") from None
    except OSError as error:
        raise DatabaseAddressWrong(f"{name} in {VARIABLE}: {file} cannot be read ({error.strerror})") from None


def _usual_file(name: str) -> bool:
    try:
        return (Path.home() / ".postgresql" / name).exists()
    except RuntimeError:
        return False
