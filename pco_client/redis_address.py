"""What PCO_SYNC_REDIS_URL says, as providers print it: a password with bare `@ / : # ?` is understood, too."""

import re
from typing import Final
from urllib.parse import quote, unquote

VARIABLE: Final = "PCO_SYNC_REDIS_URL"

_SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_ANY: Final = frozenset({
    "db", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval", "retry_on_timeout",
    "max_connections", "client_name", "protocol",
})  # fmt: skip
_TLS: Final = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
_SPLIT: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_AFTER_CREDENTIALS: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>\d*))?(?:/(?P<database>\d*))?/?(?:\?(?P<query>[^@]*))?"
)
_NAME: Final = re.compile(r"[a-z_]{1,40}")


class RedisAddressWrong(Exception):  # noqa: N818 - named after what was observed
    """The address cannot be used as it is. The message repeats none of its values."""


def redis_address(text: str) -> str:
    """The same address as Redis' client understands it. Raises `RedisAddressWrong`."""
    text = re.sub(r"^(?:export\s+)?[A-Z][A-Z0-9_]*=(?=['\"]?(?:redis|valkey|unix))", "", text.strip())
    text = text.strip("'\"")
    found = _SPLIT.fullmatch(text)
    if found is not None and found["scheme"].lower() == "unix":
        return text
    if found is None or found["scheme"].lower() not in _SCHEMES:
        raise RedisAddressWrong(f"{VARIABLE} must begin with redis:// (or rediss://, with TLS)")
    scheme = _SCHEMES[found["scheme"].lower()]
    credentials, at, after = found["rest"].rpartition("@")
    match = _AFTER_CREDENTIALS.fullmatch(after)
    if match is None or not 0 < int(match["port"] or 6379) < 65536:
        raise RedisAddressWrong(f"{VARIABLE} cannot be understood; it should look like redis://:password@host:6379/0")
    _check(match["query"] or "", is_tls=scheme == "rediss")
    user, _, password = credentials.partition(":")
    known = f"{_quoted(user)}:{_quoted(password)}@" if at else ""
    query = f"?{match['query']}" if match["query"] else ""
    return f"{scheme}://{known}{match['host'] or 'localhost'}:{match['port'] or 6379}/{match['database'] or 0}{query}"


def _check(query: str, *, is_tls: bool) -> None:
    for one in query.split("&") if query else ():
        name = one.partition("=")[0]
        if name in _TLS and not is_tls:
            raise RedisAddressWrong(f"the parameter {name} of {VARIABLE} goes with rediss:// only")
        if name not in _ANY | _TLS:
            shown = f"the parameter {name}" if _NAME.fullmatch(name) else "a parameter"
            raise RedisAddressWrong(f"{shown} of {VARIABLE} is not supported; remove it")


def _quoted(text: str) -> str:
    """Percent-encoding undone where there is one, then made good."""
    return quote(unquote(text), safe="")
