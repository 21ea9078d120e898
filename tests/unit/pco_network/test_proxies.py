"""NO_PROXY as people write it, and which variable sends a request through a proxy."""

import httpx
import pytest

from pco_network.proxies import ProxySettingWrong, added_for_proxies, prepare_proxies, proxy_variable

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


def prepared(no_proxy: str, **further: str) -> list[str]:
    """The entries after the preparation; httpx takes each."""
    environment = {**PROXY, "NO_PROXY": no_proxy, **further}
    prepare_proxies(environment)
    prepare_proxies(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"]
    entries = environment["NO_PROXY"].split(",")
    for one in entries:
        httpx.AsyncClient(mounts={f"all://[{one}]" if ":" in one and "/" not in one else f"all://*{one}": None})
    return [one for one in entries if one not in ("localhost", "127.0.0.1", "::1")]


def test_without_a_proxy_nothing_is_changed() -> None:
    environment = {"NO_PROXY": "10.0.0.0/8", "HTTPS_PROXY": " "}
    assert added_for_proxies(environment) == {}


def test_names_and_addresses_stay_and_this_machine_is_added() -> None:
    environment = {**PROXY, "no_proxy": "a.org, .b.org,10.0.0.1"}
    assert added_for_proxies(environment) == dict.fromkeys(
        ("no_proxy", "NO_PROXY"), "a.org,.b.org,10.0.0.1,localhost,127.0.0.1,::1"
    )


def test_a_network_stands_for_those_of_our_servers_that_lie_in_it() -> None:
    assert prepared("10.0.0.0/8,a.org", PREFECT_API_URL="http://10.1.2.3:4200/api") == ["10.1.2.3", "a.org"]
    assert prepared("10.0.0.0/8", PREFECT_API_URL="http://11.1.2.3:4200/api") == []
    assert prepared("fd00::/8", PCO_SYNC_PCO_BASE_URL="http://[fd00::7]:1") == ["fd00::7"]
    assert prepared("10.1.2.3/32,[fd00::9]") == ["10.1.2.3", "fd00::9"]


def test_what_nobody_understands_is_left_out() -> None:
    assert prepared(",,[::x],fe80::/10%zone,ok.org") == ["ok.org"]


@pytest.mark.parametrize("value", ["ftp://proxy", "socks4x://", "://"])
def test_what_is_no_proxy_is_refused_by_the_variables_name(value: str) -> None:
    with pytest.raises(ProxySettingWrong, match="all_proxy"):
        prepare_proxies({"all_proxy": value})


def test_the_variable_that_sends_a_request_through_a_proxy() -> None:
    environment = {"HTTPS_PROXY": "http://p", "all_proxy": "http://q", "NO_PROXY": "10.0.0.0/8,b.org,.c.org"}
    told = {
        "https://a.org": "HTTPS_PROXY",
        "http://a.org": "all_proxy",
        "https://b.org": None,
        "https://x.b.org": None,
        "https://xb.org": "HTTPS_PROXY",
        "https://x.c.org": None,
        "https://10.9.9.9": None,
        "http://127.0.0.1:4200/api": None,
        "http://[::1]:4200": None,
    }
    assert {url: proxy_variable(url, environment) for url in told} == told
    assert proxy_variable("https://a.org", {**environment, "NO_PROXY": "*"}) is None
    assert proxy_variable("https://a.org", {}) is None
