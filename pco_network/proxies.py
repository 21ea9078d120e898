"""Which requests go through a proxy: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say, read as people mean it.

httpx stumbles over a network or brackets in NO_PROXY (`fd00::/8`, `[::1]`), takes a network for a single host
(`10.0.0.0/8`), and asks a proxy for this very machine unless NO_PROXY forbids it.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_SERVERS: Final = ("PREFECT_API_URL", "PCO_SYNC_PCO_BASE_URL")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ProxySettingWrong(Exception):  # noqa: N818 - named after what was observed
    """A variable that should name a proxy does not. The message repeats no value: there may be a password in it."""


def prepare_proxies(environment: MutableMapping[str, str]) -> None:
    """Rewrite NO_PROXY so that httpx understands it, and so that this machine is never reached through a proxy.

    Safe to repeat. Without a proxy nothing is changed: on macOS a NO_PROXY alone would hide the system's settings.
    Raises `ProxySettingWrong`.
    """
    proxies = {name: value for name, value in environment.items() if name.lower() in _PROXIES and value.strip()}
    for name, value in proxies.items():
        _check(name, value.strip())
    if not proxies:
        return
    said = next((environment[name] for name in _NO_PROXY if environment.get(name)), "")
    direct = ",".join(_without_networks(said, _hosts(environment)))
    for name in _NO_PROXY:
        environment[name] = direct


def added_for_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """What `prepare_proxies` would set. Raises `ProxySettingWrong`."""
    prepared = dict(environment)
    prepare_proxies(prepared)
    return {name: value for name, value in prepared.items() if environment.get(name) != value}


def proxy_variable(url: str, environment: Mapping[str, str]) -> str | None:
    """The variable that sends requests to this address through a proxy, if one does."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    said = next((environment[name] for name in _NO_PROXY if environment.get(name)), "")
    entries = [one for one in _without_networks(said, (host,)) if one]
    if "*" in entries or any(host == one or host.endswith("." + one.lstrip("*.")) for one in entries):
        return None
    for wanted in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (wanted, wanted.upper()):
            if environment.get(name):
                return name
    return None


def _check(name: str, value: str) -> None:
    scheme = urlsplit(value if "://" in value else f"http://{value}").scheme.lower()
    if scheme.startswith("socks"):
        try:
            import socksio  # type: ignore[import-not-found]  # noqa: F401
        except ImportError:
            raise ProxySettingWrong(
                f"{name} names a SOCKS proxy, for which a package is missing: pip install 'httpx[socks]'"
            ) from None
    elif scheme not in ("http", "https"):
        raise ProxySettingWrong(f"{name} does not name a proxy; it should look like http://host:port")


def _hosts(environment: Mapping[str, str]) -> Iterator[str]:
    for name in _SERVERS:
        yield (urlsplit(environment.get(name, "")).hostname or "").lower()


def _without_networks(said: str, hosts: Iterable[str]) -> list[str]:
    """The entries; in place of a network, those of the hosts that lie in it."""
    known, entries = tuple(hosts), list[str]()
    for one in (entry.strip() for entry in said.split(",")):
        network = _network(one)
        if network is None:
            entries.append(one.strip("[]") if one.startswith("[") else one)
        elif network.num_addresses == 1:
            entries.append(str(network.network_address))
        else:
            entries += [host for host in known if _lies_in(host, network)]
    return [*dict.fromkeys([one for one in entries if _is_understood(one)] + list(LOOPBACK))]


def _is_understood(entry: str) -> bool:
    """Whether httpx takes it; it raises at whatever else, and no request is sent at all."""
    import httpx  # takes longer to load than a command may that shows its help

    try:
        httpx.URL(
            entry if "://" in entry else f"all://[{entry}]" if ":" in entry and _network(entry) else f"all://*{entry}"
        )
    except httpx.InvalidURL:
        return False
    return bool(entry)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _lies_in(host: str, network: Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
