"""Redis' address as providers print it, and as people paste it."""

import pytest
from redis.asyncio import Redis

from pco_client.redis_address import RedisAddressWrong, redis_address

CANARY = "cAnArY"


def understood(text: str) -> dict[str, object]:
    """What Redis' client makes of it."""
    pool = Redis.from_url(redis_address(text)).connection_pool
    told = pool.connection_kwargs
    names = ("host", "port", "db", "username", "password")
    return {name: told[name] for name in names if told.get(name)} | {"tls": "SSL" in pool.connection_class.__name__}


@pytest.mark.parametrize(
    "password", ["pw", "p@ss", "p/ss", "p:ss", "p#ss", "p?ss", "12/34", "50%off", "a@b/c:d?e#f", "[x]", "p+q"]
)
def test_a_password_may_be_pasted_as_it_is(password: str) -> None:
    for scheme, tls in (("redis", False), ("rediss", True)):
        assert understood(f"{scheme}://default:{password}@r.example.org:6380/2") == {
            "host": "r.example.org",
            "port": 6380,
            "db": 2,
            "username": "default",
            "password": password,
            "tls": tls,
        }


def test_what_is_left_out_is_as_redis_has_it() -> None:
    assert understood("redis://r") == {"host": "r", "port": 6379, "tls": False}
    assert understood("redis://:p%40@r") == {"host": "r", "port": 6379, "password": "p@", "tls": False}
    assert understood("valkeys://u:p@r:1/") == {"host": "r", "port": 1, "username": "u", "password": "p", "tls": True}
    assert understood("'redis://[::1]:7/0'")["host"] == "::1"
    assert redis_address("unix:///run/redis.sock") == "unix:///run/redis.sock"
    assert redis_address("rediss://r?ssl_cert_reqs=none") == "rediss://r:6379/0?ssl_cert_reqs=none"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://{}", "must begin with redis://"),
        ("{}", "must begin with redis://"),
        ("redis://:{}@h:port/0", "cannot be understood; it should look like redis://:password@host:6379/0"),
        ("redis://:{}@h:99999/0", "cannot be understood"),
        ("redis://:{}@h:1/zero", "cannot be understood"),
        ("redis://:{}@h?foo=1", "the parameter foo of PCO_SYNC_REDIS_URL is not supported; remove it"),
        ("redis://:{}@h?ssl_cert_reqs=none", "the parameter ssl_cert_reqs of PCO_SYNC_REDIS_URL goes with rediss://"),
    ],
)
def test_what_cannot_be_understood_is_named_without_a_value(text: str, told: str) -> None:
    with pytest.raises(RedisAddressWrong) as refused:
        redis_address(text.format(CANARY))
    assert told in str(refused.value)
    assert CANARY not in str(refused.value)
