"""Errors on the way to Prefect's server, in words for a person."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pco_network.proxies import proxy_variable
from pco_network.trouble import Trouble, network_trouble


def prefect_does_not_answer(error: Exception, environment: Mapping[str, str]) -> str:
    """One line: where it should be, through which proxy, and what happened; without a password in the address."""
    url = environment.get("PREFECT_API_URL", "")
    parts = urlsplit(url)
    where = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    proxy = proxy_variable(url, environment)
    way = f" through the proxy of {proxy}" if proxy else ""
    trouble = network_trouble(error) or Trouble(words="the connection failed")
    return f"Prefect does not answer at {where}{way}: {trouble.words} ({type(error).__name__})"
