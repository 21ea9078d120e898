"""Mistakes that everybody makes once: each ends in one line, the right exit code, and without a traceback."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

from deployments.app import main
from deployments.exit_codes import FAILED, INTERRUPTED, USAGE
from embedded.server_process import ServerProcess, inherited_environment
from tasks.credentials import ReservedOrganizationError, connection_for_org
from tasks.settings import read_settings
from tests.acceptance.warm_workers import ROOT
from tests.church import PEOPLE, Church

pytestmark = pytest.mark.usefixtures("restored_signals")

CANARY = "pnu_the-secret-key"
TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names servers; nobody listens there."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", "postgresql://pco@127.0.0.1:9/pco")
    monkeypatch.setenv("PCO_SYNC_REDIS_URL", "redis://127.0.0.1:9/0")


@contextmanager
def answering(status: int, body: bytes = b"<html>hello</html>") -> Iterator[str]:
    """A web server that has the same answer for everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "refuses our credential (status 401): set PREFECT_API_KEY for Prefect Cloud, PREFECT_API_AUTH_STRING"),
        (403, "refuses our credential (status 403)"),
        (404, "is not Prefect's API (status 404); see PREFECT_API_URL, which ends in /api"),
        (200, "is not Prefect's API (status 200)"),
        (500, "answers with status 500; its log says why"),
    ],
)
@pytest.mark.parametrize("command", ["sync grace people.Person", "deploy", "connect grace"])
def test_what_is_wrong_with_prefect_is_told_in_a_line(
    command: str,
    status: int,
    told: str,
    named: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(status) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_KEY: CANARY}):
            assert main(command.split()) == FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert url in line
    assert CANARY not in line


def test_the_environment_of_servers_that_do_not_run_is_nothing_for_a_shell_to_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_HOME", str(home / "empty"))
    assert main(["env"]) == FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: the embedded servers do not run")
    assert "`make up`" in printed.err


def test_an_unknown_church_is_a_wrong_command_line(church: Church, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "typo"]) == USAGE
    assert "error: org_id 'typo': no credentials are known" in capsys.readouterr().err


def started(*arguments: str, **streams: Any) -> "subprocess.Popen[str]":
    """A command as a process of its own, which heeds signals although `nohup` or the like started the suite."""
    command = [sys.executable, "-m", "deployments", *arguments]
    process: subprocess.Popen[str] = subprocess.Popen(
        command, cwd=ROOT, text=True, stderr=subprocess.PIPE, preexec_fn=_heed_signals, **streams
    )
    return process


def _heed_signals() -> None:
    for number in TAKEN:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", TAKEN)
def test_a_signal_that_comes_twice_ends_a_command_in_a_line(number: signal.Signals, named: None) -> None:
    """It waits for a Prefect that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/api"}
        with started("sync", "twice", PEOPLE, stdout=subprocess.PIPE, env=environment) as process:
            silent.settimeout(120)
            connection, _ = silent.accept()
            with connection:
                for _ in range(2):
                    process.send_signal(number)
                try:
                    out, err = process.communicate(timeout=120)
                finally:
                    process.kill()
    assert "Traceback" not in out + err
    assert "KeyboardInterrupt" not in out + err
    assert err.strip().splitlines() == ["interrupted; start it again and it continues"]
    assert process.returncode == INTERRUPTED


def test_an_output_that_nobody_reads_ends_a_command_quietly(home: Path) -> None:
    environment = {**os.environ, "PCO_SYNC_HOME": str(home / "empty")}
    reads, writes = os.pipe()
    os.close(reads)
    with started("explain", PEOPLE, stdout=writes, env=environment) as process:
        os.close(writes)
        _, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode == INTERRUPTED


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_below_the_output_is_told_in_a_line(home: Path, unbuffered: str) -> None:
    environment = {**os.environ, "PCO_SYNC_HOME": str(home / "empty"), "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full, started("explain", PEOPLE, stdout=full, env=environment) as process:
        _, err = process.communicate(timeout=60)
    assert err == "error: the disk is full; free some room, then run the command again\n"
    assert process.returncode == FAILED


def test_an_input_that_ends_is_told_in_a_line(named: None) -> None:
    with answering(200, b'"3.9.1"') as url:
        environment = {**os.environ, "PREFECT_API_URL": url}
        environment.pop("PCO_SYNC_APPLICATION_ID", None)
        _check_end_of_input(environment)


def _check_end_of_input(environment: dict[str, str]) -> None:
    with started("connect", "ended", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment) as process:
        _, err = process.communicate(timeout=60)
    assert err == ("error: the input ended; without a terminal set PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET\n")
    assert process.returncode == FAILED


def test_the_demos_name_is_reserved_for_the_invented_church(
    named: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent: Planning Center is not even reachable from here."""
    for address in ("", "https://api.planningcenteronline.com/", "https://API.PlanningCenterOnline.com"):
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", address)
        assert main(["connect", "demo"]) == USAGE
        assert "error: org_id 'demo' is the name of the demo's invented church" in capsys.readouterr().err


async def test_a_real_token_in_the_environment_is_not_used_for_the_demos_church(
    named: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ORG_ID", "demo"), ("APPLICATION_ID", "id"), ("SECRET", CANARY), ("PCO_BASE_URL", "")):
        monkeypatch.setenv(f"PCO_SYNC_{name}", value)
    with pytest.raises(ReservedOrganizationError, match="the demo's invented church"):
        await connection_for_org("demo", read_settings())
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", "http://127.0.0.1:8899")
    assert (await connection_for_org("demo", read_settings())).base_url == "http://127.0.0.1:8899"


def test_connect_goes_where_the_environment_says(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["connect", "by-environment"]) == USAGE
    assert "are those of grace (PCO_SYNC_ORG_ID); unset the three of them" in capsys.readouterr().err
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "by-environment")
    assert main(["connect", "by-environment"]) == 0
    assert f"the token will be sent to {church.simulator.base_url}, not to Planning Center" in capsys.readouterr().out
    (probe,) = church.simulator.access_log()
    assert probe["path"] == "/people/v2"


@pytest.mark.parametrize("address", ["api.example.org", "ftp://example.org", "http://", "http://x:port"])
def test_connect_refuses_what_is_no_address(
    address: str, named: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", address)
    assert main(["connect", "nowhere"]) == USAGE
    assert "are addresses such as http://127.0.0.1:8899" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "demo-crash"])
def test_a_second_demo_is_refused_and_the_first_ones_programs_live(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "shared-demo"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PCO_SYNC_HOME", str(folder))
    simulator = ServerProcess(name="simulator", home=folder)
    sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
    simulator.start(sleeper, environment=inherited_environment(), is_ready=lambda: True, facts={})
    try:
        with (folder / "demo.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("4711")
            lock.flush()
            assert main([command]) == FAILED
        assert "error: a demo runs already (process 4711)" in capsys.readouterr().err
        assert simulator.running() is not None
    finally:
        simulator.stop()
