"""The embedded servers: found again by the next command, ended cleanly, and clear about what they cannot do."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from redis import Redis
from rich.console import Console

from deployments.current.servers import show_servers, stray_workers
from deployments.demo.demonstration import stop_servers
from deployments.terminal import Terminal
from embedded.home import UnusableHomeError, default_home, services_home, usable_home
from embedded.postgres import Postgres
from embedded.redis_server import RedisServer
from embedded.server_process import ServerProcess, ServerStartError, free_port, inherited_environment, on_free_port
from embedded.services import MIRROR_DATABASE, Services
from tests.stack import Stack

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def process(home: Path) -> Iterator[ServerProcess]:
    """A record of a server that does nothing; ended after the test."""
    one = ServerProcess(name="sleeper", home=home)
    yield one
    one.stop()


def start(process: ServerProcess, command: list[str] = SLEEPER, *, is_ready: bool = True, patience: float = 60) -> None:
    process.start(
        command,
        environment=inherited_environment(),
        is_ready=lambda: is_ready,
        facts={"port": 4711},
        patience=patience,
    )


def test_a_server_is_found_again_by_the_next_command_and_ended(process: ServerProcess, home: Path) -> None:
    start(process)
    found = ServerProcess(name="sleeper", home=home)
    running = found.running()
    assert running is not None
    assert running["port"] == 4711

    assert found.stop()

    assert not psutil.pid_exists(running["pid"])
    assert process.running() is None
    assert not process.stop()


def test_another_process_with_the_same_pid_is_not_taken_for_the_server(process: ServerProcess, home: Path) -> None:
    start(process)
    record = home / "sleeper.json"
    told = record.read_text()
    process.stop()
    pid = told.partition('"pid": ')[2].partition(",")[0]
    record.write_text(told.replace(pid, str(os.getpid())))
    assert process.running() is None
    assert not process.stop()


def test_a_server_that_was_killed_does_not_run(process: ServerProcess) -> None:
    start(process)
    running = process.running()
    assert running is not None
    os.kill(running["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.running() is not None:
        assert time.monotonic() < deadline, "the killed server is still said to run"


def test_a_server_that_ends_while_starting_shows_its_last_words(process: ServerProcess) -> None:
    with pytest.raises(ServerStartError, match="sleeper ended with code 3: the disk is full"):
        start(process, [sys.executable, "-c", "print('the disk is full', flush=True); exit(3)"], is_ready=False)
    assert process.running() is None


def test_a_server_that_stays_silent_is_ended(process: ServerProcess) -> None:
    with pytest.raises(ServerStartError, match=r"was not ready in 0.2 s"):
        start(process, is_ready=False, patience=0.2)
    assert process.running() is None


def test_a_taken_port_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_a_server_of_ours_is_not_led_astray_by_our_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PCO_SYNC_SECRET", "PGHOST"):
        monkeypatch.setenv(name, "elsewhere")
    environment = inherited_environment(PREFECT_HOME="here")
    assert "elsewhere" not in environment.values()
    assert (environment["PREFECT_HOME"], environment["PATH"]) == ("here", os.environ["PATH"])


@pytest.mark.parametrize(
    ("folder", "told"),
    [("x" * 120, "too long for PostgreSQL's socket"), ("my church", "no blanks"), ("it's", "no blanks and quotes")],
)
def test_a_folder_that_cannot_hold_the_servers_says_why_and_what_to_set(home: Path, folder: str, told: str) -> None:
    with pytest.raises(UnusableHomeError, match=told) as caught:
        usable_home(home / folder)
    assert "Set PCO_SYNC_HOME" in str(caught.value)
    assert not (home / folder).exists()


def test_a_folder_that_cannot_be_made_says_what_to_set(home: Path) -> None:
    (home / "a-file").touch()
    with pytest.raises(UnusableHomeError, match="cannot create the data folder"):
        usable_home(home / "a-file" / "below")


def test_the_data_folder_is_where_one_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCO_SYNC_HOME", str(home / "mine"))
    assert services_home() == home / "mine"
    assert (home / "mine").is_dir()


@pytest.mark.parametrize(
    ("place", "user_home", "chosen"),
    [
        ("/Users/ann/Library/Application Support/pco-sync", "/Users/ann", "/Users/ann/.pco-sync"),  # macOS
        ("/home/ann/.local/share/pco-sync", "/home/ann", "/home/ann/.local/share/pco-sync"),
        ("/home/ann/my data/pco-sync", "/home/ann", "/home/ann/.pco-sync"),  # XDG_DATA_HOME
        (f"/home/ann/{'x' * 90}/pco-sync", "/home/ann", "/home/ann/.pco-sync"),
    ],
)
def test_where_the_systems_place_cannot_hold_the_servers_a_folder_of_the_users_home_does(
    place: str, user_home: str, chosen: str
) -> None:
    assert default_home(Path(place), Path(user_home)) == Path(chosen)


TRIED = """
import os, sys
from pathlib import Path
from embedded.home import UnusableHomeError, usable_home
if os.geteuid() == 0:
    os.setuid(65534)
try:
    usable_home(Path(sys.argv[1]))
except UnusableHomeError as error:
    print(error)
"""


def test_a_folder_of_another_user_is_told_with_what_to_set(home: Path) -> None:
    home.chmod(0o755)
    closed = home / "closed"
    closed.mkdir(mode=0o555)
    done = subprocess.run([sys.executable, "-c", TRIED, str(closed)], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"this user may not write in the data folder {closed}, which belongs to {closed.owner()}. Set PCO_SYNC_HOME\n"
    )


def test_redis_comes_back_where_it_was_and_goes_elsewhere_only_while_its_port_is_taken(home: Path) -> None:
    """What runs goes on asking where it was: workers, and the Prefect server."""
    folder = home / "redis-of-its-own"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    try:
        first = server.port
        assert first is not None
        assert server.answers()
        server.stop()
        assert not server.answers()
        server.start()
        assert server.port == first

        server.stop()
        with socket.create_server(("127.0.0.1", first)):
            server.start()
            assert server.answers()
            assert server.port != first
    finally:
        server.stop()


def test_what_is_wrong_with_each_server_is_known(home: Path) -> None:
    folder = home / "moved"
    folder.mkdir()
    services = Services(folder)
    server = ServerProcess(name="prefect-server", home=folder)
    assert not services.has_any
    assert set(services.troubles().values()) == {"it does not run"}
    server.start(
        SLEEPER, environment=inherited_environment(), is_ready=lambda: True, facts={"port": 4711, "redis_port": 16001}
    )
    services.redis.start()
    try:
        assert services.has_any
        troubles = services.troubles()
        assert troubles["PostgreSQL"] == "it does not run"
        assert troubles["Redis"] is None
        moved = f"it looks for Redis on port 16001, and Redis is on port {services.redis.port}"
        assert troubles["Prefect server"] == moved

        right = {**os.environ, **services.environment()}
        wrong = {**right, "PCO_SYNC_REDIS_URL": "redis://127.0.0.1:16001/0"}
        worker = [*SLEEPER, "worker", "start"]
        with subprocess.Popen(worker, env=right) as well, subprocess.Popen(worker, env=wrong) as stray:
            assert list(stray_workers(services)) == [stray.pid]
            for one in (well, stray):
                one.kill()

        assert not services.is_kept
        services.keep()
        assert Services(folder).is_kept
        server.stop()
        assert not services.is_kept
    finally:
        server.stop()
        services.redis.stop()


def test_where_the_data_is_stands_there_as_it_is_whatever_the_folder_is_called(home: Path) -> None:
    folder = home / "of [me]"
    folder.mkdir()
    services, said = Services(folder), StringIO()
    services.redis.start()
    try:
        show_servers(services, Console(file=said, width=80), as_json=False)
    finally:
        services.redis.stop()
    psql = shlex.join(services.postgres.psql_command(MIRROR_DATABASE))
    assert {f"data            {folder}", f"psql            {psql}"} <= set(said.getvalue().splitlines())


def test_servers_that_run_are_not_said_to_be_started(stack: Stack) -> None:
    said: list[str] = []
    Services(stack.home).start(said.append)
    assert said == []


def test_redis_asks_for_its_password(redis_url: str) -> None:
    with Redis.from_url(redis_url) as known:
        assert known.ping()
    with socket.create_connection(("127.0.0.1", urlsplit(redis_url).port or 0), timeout=10) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(1024).startswith(b"-NOAUTH")


def test_postgres_keeps_its_data_through_a_stop_and_through_the_death_of_the_machine(home: Path) -> None:
    server = Postgres(usable_home(home / "other"))
    server.start({"fsync": "off"})
    try:
        server.create_database("kept")
        server.psql("kept", "CREATE TABLE kept AS SELECT 42 AS answer")
        assert server.psql("kept", "SHOW timezone") == "UTC"
        assert server.stop()
        assert not server.is_running
        assert not server.stop()

        pid_file = server.data / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n")  # as a machine leaves it that went down; the pid is another's by now
        assert not server.is_running
        server.start()
        server.create_database("kept")
        assert server.psql("kept", "SELECT answer FROM kept") == "42"
        assert Postgres(home / "other").is_running
    finally:
        server.stop()


def test_a_server_is_not_ready_because_another_one_answers_on_its_port(home: Path) -> None:
    """Two data folders whose servers start at the same moment may choose the same free port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        late = ServerProcess(name="late", home=home)
        with pytest.raises(ServerStartError, match="late ended with code 3"):
            late.start(
                [sys.executable, "-c", "raise SystemExit(3)"],
                environment=inherited_environment(),
                is_ready=lambda: True,
                facts={},
                listens_on=port,
            )
        assert late.running() is None


def test_a_server_goes_elsewhere_when_its_port_is_taken_while_it_starts() -> None:
    tried: list[int] = []

    def start(port: int) -> None:
        tried.append(port)
        if len(tried) == 1:
            faster.enter_context(socket.create_server(("127.0.0.1", port)))
            raise ServerStartError("the port is taken")

    with ExitStack() as faster:
        on_free_port(free_port(), start)
    assert len(set(tried)) == 2


def test_a_server_that_fails_for_another_reason_is_not_started_again() -> None:
    tried: list[int] = []

    def start(port: int) -> None:
        tried.append(port)
        raise ServerStartError("no memory")

    with pytest.raises(ServerStartError, match="no memory"):
        on_free_port(free_port(), start)
    assert len(tried) == 1


def test_the_servers_of_a_demo_end_although_nobody_reads_what_it_prints(home: Path) -> None:
    services = Services(usable_home(home / "demo"))  # not those of the other tests
    services.redis.start()
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with suppress(BrokenPipeError), os.fdopen(writer, "w", buffering=1) as output:
            stop_servers(services, Terminal(file=output))
        assert services.redis.port is None
    finally:
        services.redis.stop()
