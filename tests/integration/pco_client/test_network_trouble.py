"""What goes wrong on the way is told in words with what to do, on real sockets."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deployments.environment import complete_environment
from deployments.prefect_trouble import prefect_does_not_answer
from embedded.server_process import free_port
from embedded.services import Services
from pco_client import PageRequest, PcoClient, PersonalAccessToken
from pco_client.errors import CannotConnect, PcoError, Unreachable
from pco_network.proxies import ProxySettingWrong, prepare_proxies
from pco_network.trouble import UNKNOWN_AUTHORITY, Trouble, network_trouble
from pco_store.database import Database
from pco_store.errors import DatabaseAddressWrong, StoreUnavailable
from tests.certificates import self_signed
from tests.simulators import SimulatorProcess

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
VARIABLES = tuple(name for one in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (one, one.upper()))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that does this with each connection."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


def answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()

    return serve


OK = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


def identified_by(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def trouble_with(
    url: str, *, trusts: Path | None = None, proxy: str | None = None, timeout: float = 60.0
) -> Trouble:
    verify = ssl.create_default_context(cafile=str(trusts)) if trusts else True
    async with httpx.AsyncClient(timeout=timeout, verify=verify, proxy=proxy) as http:
        with pytest.raises(httpx.HTTPError) as caught:
            await http.get(url)
    found = network_trouble(caught.value)
    assert found is not None
    return found


async def test_a_certificate_of_an_unknown_authority_is_told_with_the_variable_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    async with serving(OK, identified_by(certificate)) as port:
        assert await trouble_with(f"https://127.0.0.1:{port}") == Trouble(words=UNKNOWN_AUTHORITY, is_lasting=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"https://127.0.0.1:{port}")).status_code == 200


async def test_a_certificate_for_another_host_and_one_that_has_expired_are_told_apart(tmp_path: Path) -> None:
    for name, days, told in (("example.org", 2, "another address"), ("127.0.0.1", -1, "has expired")):
        certificate = self_signed(tmp_path, name=name, days=days)
        async with serving(OK, identified_by(certificate)) as port:
            trouble = await trouble_with(f"https://127.0.0.1:{port}", trusts=certificate)
        assert told in trouble.words
        assert trouble.is_lasting


async def test_a_port_without_tls_a_closed_one_silence_and_an_unknown_name_are_told_apart() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def closing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async with serving(OK) as plain, serving(silent) as mute, serving(closing) as short:
        told = {
            f"https://127.0.0.1:{plain}": ("does not speak TLS", True),
            f"http://127.0.0.1:{mute}": ("did not answer in time", False),
            f"http://127.0.0.1:{short}": ("closed the connection", False),
            f"http://127.0.0.1:{free_port()}": ("refused: nothing listens there", False),
            "http://pco.invalid": ("(DNS)", False),
            "ftp://127.0.0.1": ("should look like https://host", True),
        }
        for url, (words, is_lasting) in told.items():
            trouble = await trouble_with(url, timeout=0.2 if url.endswith(f":{mute}") else 60.0)
            assert words in trouble.words
            assert trouble.is_lasting is is_lasting


async def test_a_proxy_that_wants_a_password_says_so() -> None:
    async with serving(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as port:
        trouble = await trouble_with("https://pco.invalid", proxy=f"http://127.0.0.1:{port}")
    assert "wants a user and a password (407): HTTPS_PROXY=http://user:password@host:port" in trouble.words
    assert trouble.is_lasting


def test_no_error_of_ours_is_taken_for_one_of_the_network() -> None:
    assert network_trouble(ValueError("x")) is None
    assert network_trouble(KeyError("TimeoutError")) is None


async def ask_pco(base_url: str) -> PcoError:
    """The error with which PCO is not reached."""
    async with httpx.AsyncClient(timeout=60) as http:
        client = PcoClient(http, credential=PersonalAccessToken("id", "hush"), base_url=base_url)
        with pytest.raises(PcoError) as caught:
            await client.fetch_page(PageRequest(path="/people/v2/people", api_version="x"), expected_type="Person")
    return caught.value


async def test_a_dead_proxy_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@127.0.0.1:{free_port()}")
    error = await ask_pco("https://pco.invalid")
    assert isinstance(error, Unreachable)
    assert "no answer from PCO through the proxy of HTTPS_PROXY: the connection was refused" in str(error)
    assert "hush" not in str(error)


async def test_an_authority_that_is_not_trusted_ends_the_sync_instead_of_being_asked_again(tmp_path: Path) -> None:
    async with serving(OK, identified_by(self_signed(tmp_path))) as port:
        error = await ask_pco(f"https://127.0.0.1:{port}")
    assert isinstance(error, CannotConnect)
    assert "set SSL_CERT_FILE" in str(error)


async def test_this_machine_is_never_reached_through_a_proxy(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network or brackets in NO_PROXY made httpx raise InvalidURL at every request."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, fd00::/8,[::1],.example.org,a b")
    prepare_proxies(os.environ)
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{simulator.base_url}/people/v2")
    assert answer.status_code == 401


def test_a_command_prepares_proxies_whatever_servers_it_talks_to(tmp_path: Path) -> None:
    named = {"PREFECT_API_URL": "http://10.1.2.3/api", "PCO_SYNC_DATABASE_URL": "x", "PCO_SYNC_REDIS_URL": "x"}
    environment = {**named, "http_proxy": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8"}
    complete_environment(Services(tmp_path), environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "10.1.2.3,localhost,127.0.0.1,::1"
    with pytest.raises(ProxySettingWrong, match="https_proxy does not name a proxy; it should look like http://host"):
        complete_environment(Services(tmp_path), {**named, "https_proxy": "ftp://me:hush@proxy"})


def test_prefect_that_does_not_answer_is_told_with_its_address_and_the_proxy() -> None:
    environment = {"PREFECT_API_URL": "http://me:hush@prefect.example.org/api", "HTTP_PROXY": "http://proxy:1"}
    told = prefect_does_not_answer(httpx.ConnectError("refused"), environment)
    assert told == (
        "Prefect does not answer at http://prefect.example.org/api through the proxy of HTTP_PROXY: "
        "the connection failed (ConnectError)"
    )


async def test_a_database_that_cannot_prove_itself_or_speaks_no_tls_is_refused_at_once(tmp_path: Path) -> None:
    context = identified_by(self_signed(tmp_path))

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(context)

    async with serving(upgrade) as tls, serving(answering(b"N")) as plain:
        for port, said, told in (
            (tls, "verify-full", "name with sslrootcert in PCO_SYNC_DATABASE_URL a file with the authorities"),
            (plain, "require", "does not offer TLS, which PCO_SYNC_DATABASE_URL demands"),
        ):
            database = Database(f"postgresql://me:hush@127.0.0.1:{port}/pco?sslmode={said}")
            with pytest.raises(DatabaseAddressWrong, match=told):
                await database.has_own_sessions()
            await database.aclose()


async def test_a_database_that_is_away_is_waited_for_and_told_in_words() -> None:
    for address, told in (
        (f"127.0.0.1:{free_port()}", "the connection was refused"),
        ("db.invalid", r"\(DNS\)"),
        ("%2Fnowhere", "there is no such socket"),
    ):
        database = Database(f"postgresql://me:hush@{address}/pco")
        with pytest.raises(StoreUnavailable, match=told):
            await database.has_own_sessions()
        await database.aclose()
