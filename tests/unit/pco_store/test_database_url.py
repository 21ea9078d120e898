"""Connection strings as providers print them, and as people paste them."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_store.connecting import connect_arguments, libpq_environment
from pco_store.database_url import DatabaseAddress, parse_database_url
from pco_store.errors import DatabaseAddressWrong

CANARY = "cAnArY"

PRINTED: dict[str, dict[str, Any]] = {
    # Supabase: direct, session pooler, transaction pooler
    "postgresql://postgres:pw@db.abcd.supabase.co:5432/postgres": {"hosts": ("db.abcd.supabase.co",), "ports": (5432,)},
    "postgres://postgres.abcd:pw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true": {
        "user": "postgres.abcd",
        "ports": (6543,),
        "is_pooled": True,
    },
    "postgres://u:pw@h:6543/postgres?sslmode=require&supa=base-pooler.x": {"ssl_mode": "require"},
    # Neon, as its console shows it
    "psql 'postgresql://owner:npg_pw@ep-cool-1-pooler.eu-central-1.aws.neon.tech/db?sslmode=require"
    "&channel_binding=require'": {
        "hosts": ("ep-cool-1-pooler.eu-central-1.aws.neon.tech",),
        "needs_proven_server": True,
        "password": "npg_pw",
    },
    "postgresql://u:p@h/db?options=endpoint%3Dep-cool-1": {
        "server_settings": {"application_name": "pco-sync", "options": "endpoint=ep-cool-1"}
    },
    # RDS with its bundle of authorities, Heroku, Render, DigitalOcean
    "postgresql://u:p@x.rds.amazonaws.com:5432/db?sslmode=verify-full&sslrootcert=/certs/global-bundle.pem": {
        "ssl_mode": "verify-full",
        "tls": {"sslrootcert": "/certs/global-bundle.pem"},
    },
    "DATABASE_URL=postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1": {"database": "d1"},
    '"postgresql://doadmin:p@db.ondigitalocean.com:25060/defaultdb?sslmode=require"': {"database": "defaultdb"},
    # Azure: keywords, and a user with @
    "host=x.postgres.database.azure.com port=5432 dbname=pco user=me@x password='p w' sslmode=require": {
        "user": "me@x",
        "password": "p w",
        "ports": (5432,),
        "ssl_mode": "require",
    },
    # Cloud SQL: a socket whose folder has colons
    "postgresql://u:p@/db?host=/cloudsql/project:region:instance": {"hosts": ("/cloudsql/project:region:instance",)},
    "postgresql:///db?host=/var/run/postgresql&user=a@b": {"user": "a@b", "hosts": ("/var/run/postgresql",)},
    "postgresql://u@%2Fvar%2Frun%2Fpostgresql/db": {"hosts": ("/var/run/postgresql",), "password": None},
    # Prisma, SQLAlchemy, JDBC
    "postgresql://u:p@h/db?schema=public&connection_limit=1&pool_timeout=0": {"database": "db", "is_pooled": False},
    "postgresql+asyncpg://u:p@h/db?ssl=require": {"ssl_mode": "require"},
    "postgresql://u:p@h/db?sslmode=verify-full&ssl=true": {"ssl_mode": "verify-full"},
    # Fly, Railway, Aiven, Azure's flexible server
    "postgres://app:pw@app-db.flycast:5432/app?sslmode=disable": {"ssl_mode": "disable", "hosts": ("app-db.flycast",)},
    "postgresql://postgres:pw@roundhouse.proxy.rlwy.net:41234/railway": {"ports": (41234,), "database": "railway"},
    "postgres://avnadmin:AVNS_pw@pg-1-x.aivencloud.com:12691/defaultdb?sslmode=require": {"password": "AVNS_pw"},
    "postgres://me%40x:pw@x.postgres.database.azure.com/pco?sslmode=require": {"user": "me@x", "ssl_mode": "require"},
    "jdbc:postgresql://h:5432/db?user=u&password=p&ssl=true": {"user": "u", "password": "p", "ssl_mode": "require"},
    # libpq
    "postgresql://u:p@h/db?connect_timeout=10&application_name=mine&keepalives=1&keepalives_idle=30": {
        "connect_seconds": 10.0,
        "server_settings": {"application_name": "mine"},
    },
    "postgresql://u:p@h1:5433,h2/db?target_session_attrs=read-write": {
        "hosts": ("h1", "h2"),
        "ports": (5433, None),
        "target_session_attrs": "read-write",
    },
    "postgresql://u:p@[2001:db8::1]:5433/db": {"hosts": ("2001:db8::1",), "ports": (5433,)},
    "postgresql://u:p@[::1]/db": {"hosts": ("::1",), "ports": ()},
    "postgresql://h": {"hosts": ("h",), "user": None, "password": None, "database": None},
    "postgresql://": {"hosts": (), "user": None},
    "dbname = 'it\\'s' password=a\\ b": {"database": "it's", "password": "a b"},
    "postgresql://u:p%40%2F%25@h/db": {"password": "p@/%"},
    "postgresql://u:p@h/my%20db": {"database": "my db"},
    "postgresql://u:p+q@h/db": {"password": "p+q"},
}


@pytest.mark.parametrize("text", PRINTED)
def test_what_a_provider_prints_is_understood(text: str) -> None:
    address = parse_database_url(text)
    assert {name: getattr(address, name) for name in PRINTED[text]} == PRINTED[text]


@pytest.mark.parametrize(
    "password",
    ["p@ss", "p/ss", "p:ss", "p#ss", "p?ss", "50%off", "100%", "a@b/c:d?e#f%g", "12/34", "12?34", "?w=1", "p&q=r",
     "[brackets]", "tail@", "/", "@@", "%zz", "%ff"],
)  # fmt: skip
def test_a_password_may_be_pasted_as_it_is(password: str) -> None:
    address = parse_database_url(f"postgresql://me:{password}@db.example.org:6543/pco?sslmode=require")
    assert (address.user, address.password) == ("me", password)
    assert (address.hosts, address.ports, address.database) == (("db.example.org",), (6543,), "pco")


@given(st.text(alphabet="abcXYZ019@/:#?%&=.,;~!$*()[]{}|^'+-_ ", min_size=1))
def test_any_password_is_read_or_refused_and_the_host_is_never_another(password: str) -> None:
    try:
        address = parse_database_url(f"postgresql://me:{password}@db.example.org/pco")
    except DatabaseAddressWrong as error:
        assert "placeholder" in str(error)  # noqa: PT017 - nothing else may be refused
    else:
        assert address.hosts == ("db.example.org",)
        assert address.database == "pco"


WRONG = {
    "postgresql://u:{}@h/db?foo=1": "the parameter foo of PCO_SYNC_DATABASE_URL is not supported; remove it",
    "postgresql://u:{}@h/db?sslmode=no-verify": "sslmode in PCO_SYNC_DATABASE_URL must be disable or allow or",
    "postgresql://u:{}@h/db?channel_binding=maybe": "channel_binding in PCO_SYNC_DATABASE_URL must be",
    "postgresql://u:{}@h/db?channel_binding=require&sslmode=disable": "exclude each other",
    "postgresql://u:{}@h/db?target_session_attrs=standby": "target_session_attrs in PCO_SYNC_DATABASE_URL must be any",
    "postgresql://u:{}@h/db?connect_timeout=soon": "connect_timeout in PCO_SYNC_DATABASE_URL must be a number",
    "postgresql://u:{}@h/db?client_encoding=latin1": "client_encoding in PCO_SYNC_DATABASE_URL must be UTF8",
    "postgresql://u:{}@h/db?gssencmode=require": "gssencmode in PCO_SYNC_DATABASE_URL must be",
    "postgresql://u:{}@h/db?hostaddr=10.0.0.1": "the parameter hostaddr of",
    "postgresql://u:{}@h:99999/db": "the port in PCO_SYNC_DATABASE_URL must be a number from 1 to 65535",
    "postgresql://u:{}@h,/db": "a host is missing in the list of hosts",
    "host=a,b port=1,2,3 password={}": "has 2 hosts but 3 ports",
    "host=h password={} secret=x": "cannot be understood; it should look like host=...",
    "host=h password='{}": "cannot be understood; it should look like host=...",
    "postgresql://u:[YOUR-PASSWORD]@{}/db": "still the provider's placeholder",
    "host={} password={{your_password}}": "still the provider's placeholder",
    "mysql://u:{}@h/db": "must begin with postgresql://",
    "Server={};Database=x;Port=5432;User Id=u;Password=p;": "is a connection string for .NET",
    "{}": "is no connection string",
    "postgresql://u:{}@/host/more/db": "cannot be understood",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_understood_is_named_in_one_line_without_a_value(text: str) -> None:
    with pytest.raises(DatabaseAddressWrong) as refused:
        parse_database_url(text.format(CANARY))
    assert WRONG[text] in str(refused.value)
    assert CANARY not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_address_does_not_show_its_password() -> None:
    assert CANARY not in repr(parse_database_url(f"postgresql://u:{CANARY}@h/db?sslpassword={CANARY}"))


def test_libpqs_variables_stand_in_for_what_is_missing() -> None:
    """asyncpg reads PGHOST, PGUSER, …; only a port for a host without one has to be ours."""
    assert connect_arguments(DatabaseAddress(), {}) == {
        "timeout": 20.0,
        "server_settings": {},
        "max_cacheable_statement_size": 0,
    }
    arguments = connect_arguments(parse_database_url("postgresql://a,b:1/db"), {"PGPORT": "6000"})
    assert (arguments["host"], arguments["port"]) == (["a", "b"], [6000, 1])


def test_a_server_must_prove_itself_to_the_systems_authorities_where_no_others_are_named() -> None:
    for said in (
        "sslmode=verify-full",
        "sslmode=require&sslrootcert=system",
        "sslmode=require&channel_binding=require",
    ):
        context = connect_arguments(parse_database_url(f"postgresql://h/db?{said}"), {})["ssl"]
        assert isinstance(context, ssl.SSLContext)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_weaker_modes_are_left_to_asyncpg() -> None:
    for mode in ("disable", "allow", "prefer", "require"):
        assert connect_arguments(parse_database_url(f"postgresql://h/db?sslmode={mode}"), {})["ssl"] == mode
    assert "ssl" not in connect_arguments(parse_database_url("postgresql://h/db"), {})


def test_a_file_that_cannot_be_used_is_named_before_the_first_connection(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for said, told in {
        f"sslrootcert={tmp_path}/none.pem": "sslrootcert in PCO_SYNC_DATABASE_URL: .*none.pem cannot be read",
        f"sslrootcert={tmp_path}/empty.pem": "empty.pem does not hold what it should",
        f"sslcert={tmp_path}/none.pem": "sslcert or sslkey in PCO_SYNC_DATABASE_URL: .*none.pem cannot be read",
    }.items():
        with pytest.raises(DatabaseAddressWrong, match=told):
            connect_arguments(parse_database_url(f"postgresql://h/db?sslmode=require&{said}"), {})
    with pytest.raises(DatabaseAddressWrong, match="sslmode=verify-ca in PCO_SYNC_DATABASE_URL needs sslrootcert"):
        connect_arguments(parse_database_url("postgresql://h/db?sslmode=verify-ca"), {})


def test_psql_is_told_the_same_without_a_password_in_its_command_line() -> None:
    said = "postgresql://me:p@ss@a:1,b:2/pco?sslmode=verify-ca&sslrootcert=/ca.pem&options=-cx%3Dy&connect_timeout=5"
    assert libpq_environment(parse_database_url(said)) == {
        "PGHOST": "a,b",
        "PGPORT": "1,2",
        "PGUSER": "me",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "pco",
        "PGSSLMODE": "verify-ca",
        "PGSSLROOTCERT": "/ca.pem",
        "PGOPTIONS": "-cx=y",
        "PGCONNECT_TIMEOUT": "5",
        "PGAPPNAME": "psql",
    }
