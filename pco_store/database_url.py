"""What a connection string says: a URI or libpq's keywords, as providers print them; read without any I/O.

A password with bare `@ / : # ? %` is understood, because that is what people paste. Nothing that is raised here repeats
a value: only the name of a parameter, and only where it cannot be a piece of the password.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from pco_store.errors import DatabaseAddressWrong

VARIABLE: Final = "PCO_SYNC_DATABASE_URL"
CONNECT_SECONDS: Final = 20.0
APPLICATION_NAME: Final = "pco-sync"

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_WRITABLE: Final = ("any", "primary", "read-write")
_YES: Final = ("true", "1", "yes", "on")

TLS: Final = frozenset({
    "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
})  # fmt: skip
"""Go to asyncpg as they are."""

_WITHOUT_EFFECT: Final = frozenset({
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "sslcompression", "sslsni", "load_balance_hosts", "fallback_application_name", "uselibpqcompat",
    "connection_limit", "pool_timeout", "socket_timeout", "schema", "supa",
    "statement_cache_size", "prepared_statement_cache_size",
})  # fmt: skip
"""Change how others connect or pool, or where they look for tables; not what we read or write, nor how safely."""

_UNDERSTOOD: Final = TLS | _WITHOUT_EFFECT | frozenset({
    "host", "hostaddr", "port", "dbname", "database", "user", "password", "passfile", "service",
    "sslmode", "ssl", "channel_binding", "connect_timeout", "application_name", "options", "client_encoding",
    "target_session_attrs", "gssencmode", "pgbouncer", "krbsrvname", "gsslib",
})  # fmt: skip

_SCHEME: Final = re.compile(r"(?:jdbc:)?(?:postgres|postgresql)(?:\+\w+)?://", re.IGNORECASE)
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.~%-]*)(?::\d*)?"
_AFTER_CREDENTIALS: Final = re.compile(
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<database>[^@?/#]*))?(?:\?(?P<query>.*))?", re.DOTALL
)
_ONE_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")
_KEYWORD: Final = re.compile(
    r"\s*(?P<name>\w+)\s*=\s*(?P<value>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)", re.DOTALL
)
_IN_A_VALUE: Final = re.compile(rf"[?&](?:{'|'.join(sorted(_UNDERSTOOD))})=[^&@]*$")
_ADO_NET: Final = re.compile(r"\s*(?:server|host|data source|user id|username)\s*=[^;]*;", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(
    r"[\[{<](?:(?:your|enter|insert)[-_ ]?)?(?:db[-_ ]?|database[-_ ]?)?password[\]}>]|your[-_]password|\*{4,}|•+",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseAddress:
    """What a connection string says. What is None is taken from libpq's variables (PGHOST, PGUSER, …)."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int | None, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    ssl_mode: str | None = None
    needs_proven_server: bool = False
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_seconds: float = CONNECT_SECONDS
    server_settings: Mapping[str, str] = field(default_factory=dict)
    target_session_attrs: str | None = None
    further: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_pooled: bool = False
    """It says itself that a transaction pooler answers."""


def parse_database_url(text: str) -> DatabaseAddress:
    """Understand a connection string. Raises `DatabaseAddressWrong`, which names what cannot be understood."""
    text = _unwrapped(text)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _address(_read_uri(text[scheme.end() :]))
    if "://" in text.partition("=")[0]:
        raise DatabaseAddressWrong(f"{VARIABLE} must begin with postgresql://")
    if _ADO_NET.match(text):
        raise DatabaseAddressWrong(
            f"{VARIABLE} is a connection string for .NET; take the URI (postgresql://...) that your provider shows"
        )
    if "=" not in text:
        raise DatabaseAddressWrong(
            f"{VARIABLE} is no connection string; it should look like postgresql://user:password@host:5432/database"
        )
    return _address(_read_keywords(text))


def _unwrapped(text: str) -> str:
    """Without what is copied along: blanks, quotes, the variable's name, `psql` in front."""
    text = text.strip()
    text = re.sub(r"^(?:export\s+)?[A-Z][A-Z0-9_]*=(?=['\"]?(?:postgres|jdbc:))", "", text)
    text = re.sub(r"^psql\s+(?=['\"]?(?:postgres|\w+=))", "", text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


Parameters = dict[str, str]


def _read_uri(rest: str) -> Parameters:
    credentials, match = _split(rest)
    said: Parameters = {}
    if credentials:
        user, _, password = credentials.partition(":")
        said.update({name: _decoded(value) for name, value in (("user", user), ("password", password)) if value})
    hosts = [_one_host(one) for one in match["hosts"].split(",")] if match["hosts"] else []
    if hosts:
        said["host"] = ",".join(host for host, _ in hosts)
        if any(port for _, port in hosts):
            said["port"] = ",".join(port for _, port in hosts)
    if match["database"]:
        said["dbname"] = _decoded(match["database"])
    for name, value in _pairs(match["query"]) or ():
        said[name] = _decoded(value)
    return said


def _split(rest: str) -> tuple[str, re.Match[str]]:
    """Where the credentials end. As the standard has it, where that gives a sense; else at the last possible `@`."""
    for credentials, match in _readings(rest):
        if all(name in _UNDERSTOOD for name, _ in _pairs(match["query"]) or ()):
            return credentials, match
    for _, match in _readings(rest):
        for name, _ in _pairs(match["query"]) or ():
            if name not in _UNDERSTOOD and _NAME.fullmatch(name):
                raise _not_supported(name)
    raise DatabaseAddressWrong(
        f"{VARIABLE} cannot be understood; it should look like postgresql://user:password@host:5432/database "
        "(in a password, write @ as %40, / as %2F, ? as %3F)"
    )


def _readings(rest: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Each way to read it that fits the grammar, likeliest first."""
    ends = [place for place, character in enumerate(rest) if character == "@"]
    likely = [place for place in ends if not _IN_A_VALUE.search(rest[:place])]
    standard = ends[:1] if ends and not set("/?#") & set(rest[: ends[0]]) else []
    for place in (*standard, None, *reversed(likely), *reversed(ends)):
        credentials, after = ("", rest) if place is None else (rest[:place], rest[place + 1 :])
        match = _AFTER_CREDENTIALS.fullmatch(after)
        if match is not None and _pairs(match["query"]) is not None:
            yield credentials, match


def _pairs(query: str | None) -> list[tuple[str, str]] | None:
    """The parameters of a query; None if it is no query at all."""
    pairs = [one.partition("=") for one in (query or "").split("&") if one]
    if any(not equals or not _NAME.fullmatch(name) for name, equals, _ in pairs):
        return None
    return [(name, value) for name, _, value in pairs]


def _one_host(text: str) -> tuple[str, str]:
    match = _ONE_HOST.fullmatch(text)
    assert match is not None, "the grammar has seen it"
    return match["v6"] or _decoded(match["name"]), match["port"] or ""


def _decoded(text: str) -> str:
    """Percent-encoding undone where there is one; a bare `%` stands for itself, and so does `+`."""
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def _read_keywords(text: str) -> Parameters:
    said: Parameters = {}
    place, before = 0, ""
    while text[place:].strip():
        match = _KEYWORD.match(text, place)
        is_of_a_password = before == "password" and match is not None and match["name"] not in _UNDERSTOOD
        if match is None or is_of_a_password:
            raise DatabaseAddressWrong(
                f"{VARIABLE} cannot be understood; it should look like host=... port=5432 dbname=... user=... "
                "password='...' (in quotes, with \\' for ' and \\\\ for \\)"
            )
        value = match["value"]
        if value.startswith("'"):
            value = value[1:-1]
        said[match["name"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        place, before = match.end(), match["name"]
    return said


def _address(said: Parameters) -> DatabaseAddress:
    for name in said:
        if name not in _UNDERSTOOD:
            raise _not_supported(name)
    hosts, ports = _hosts(said)
    password = said.get("password") or None
    if password is not None and _PLACEHOLDER.fullmatch(password):
        raise DatabaseAddressWrong(f"the password in {VARIABLE} is still the provider's placeholder; put yours there")
    if said.get("client_encoding", "auto").lower().replace("-", "") not in ("auto", "utf8"):
        raise _wrong_value("client_encoding", ("UTF8",))
    if said.get("gssencmode", "prefer") not in ("disable", "prefer"):
        raise _wrong_value("gssencmode", ("disable", "prefer"))
    settings = {"application_name": said.get("application_name") or APPLICATION_NAME}
    if said.get("options"):
        settings["options"] = said["options"]
    mode = _ssl_mode(said)
    return DatabaseAddress(
        hosts=hosts,
        ports=ports,
        user=said.get("user") or None,
        password=password,
        database=said.get("dbname") or said.get("database") or None,
        ssl_mode=mode,
        needs_proven_server=_needs_proven_server(said, mode),
        tls={name: said[name] for name in sorted(TLS & said.keys()) if said[name]},
        connect_seconds=_seconds(said.get("connect_timeout")),
        server_settings=settings,
        target_session_attrs=_one_of(said, "target_session_attrs", _WRITABLE),
        further={name: said[name] for name in ("passfile", "service", "krbsrvname", "gsslib") if said.get(name)},
        is_pooled=said.get("pgbouncer", "").lower() in _YES,
    )


def _hosts(said: Parameters) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    names = said.get("host", "")
    if said.get("hostaddr"):
        if names:
            raise _not_supported("hostaddr")
        names = said["hostaddr"]
    hosts = tuple(names.split(",")) if names else ()
    if len(hosts) > 1 and not all(hosts):
        raise DatabaseAddressWrong(f"a host is missing in the list of hosts in {VARIABLE}")
    ports = [_port(one) for one in said["port"].split(",")] if said.get("port") else []
    if len(ports) == 1:
        ports *= max(len(hosts), 1)
    if ports and len(ports) != max(len(hosts), 1):
        raise DatabaseAddressWrong(f"{VARIABLE} has {len(hosts)} hosts but {len(ports)} ports")
    return hosts, tuple(ports)


def _port(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not 0 < int(text) < 65536:
        raise DatabaseAddressWrong(f"the port in {VARIABLE} must be a number from 1 to 65535")
    return int(text)


def _ssl_mode(said: Parameters) -> str | None:
    """`ssl` is what other programs call it: true, or the mode itself."""
    simple = said.get("ssl", "").lower()
    if simple and "sslmode" not in said:
        if simple in _YES:
            return "require"
        return "disable" if simple in ("false", "0", "no", "off") else _one_of(said, "ssl", SSL_MODES)
    return _one_of(said, "sslmode", SSL_MODES)


def _needs_proven_server(said: Parameters, mode: str | None) -> bool:
    """`channel_binding=require`, which asyncpg has not: that the server proves itself protects as well."""
    if _one_of(said, "channel_binding", ("disable", "prefer", "require")) != "require":
        return False
    if mode == "disable":
        raise DatabaseAddressWrong(f"channel_binding=require and sslmode=disable in {VARIABLE} exclude each other")
    return True


def _seconds(text: str | None) -> float:
    if not text:
        return CONNECT_SECONDS
    if not re.fullmatch(r"-?\d{1,9}(?:\.\d+)?", text.strip()):
        raise DatabaseAddressWrong(f"connect_timeout in {VARIABLE} must be a number of seconds")
    seconds = float(text)
    return max(seconds, 2.0) if seconds > 0 else CONNECT_SECONDS


def _one_of(said: Parameters, name: str, allowed: Sequence[str]) -> str | None:
    value = said.get(name)
    if not value:
        return None
    if value not in allowed:
        raise _wrong_value(name, allowed)
    return value


def _wrong_value(name: str, allowed: Sequence[str]) -> DatabaseAddressWrong:
    return DatabaseAddressWrong(f"{name} in {VARIABLE} must be {' or '.join(allowed)}")


def _not_supported(name: str) -> DatabaseAddressWrong:
    return DatabaseAddressWrong(f"the parameter {name} of {VARIABLE} is not supported; remove it")
