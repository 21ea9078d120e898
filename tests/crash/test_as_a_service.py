"""Servers and worker as a supervisor runs them: what is killed comes back, and what is told to stop leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deployments.provisioning.declared import PROJECT
from deployments.service.programs import Program, programs
from embedded.home import usable_home
from embedded.server_process import inherited_environment
from embedded.services import Services
from tests.stack import wait_until


class Supervisor:
    """Runs one program again and again, as systemd does with `Restart=always`."""

    def __init__(self, program: Program, environment: dict[str, str], log: Path) -> None:
        self.starts = 0
        self.process: subprocess.Popen[bytes]
        self._program, self._environment, self._log = program, environment, log
        self._is_stopping = threading.Event()
        self._begin()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _begin(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._program.command, cwd=PROJECT, env=self._environment, stdout=log, stderr=log
            )
        self.starts += 1

    def _watch(self) -> None:
        while True:
            self.process.wait()
            if self._is_stopping.is_set():
                return
            self._begin()

    def stop(self) -> int:
        """As `systemctl stop`: SIGTERM, and after its time SIGKILL; its exit code."""
        self._is_stopping.set()
        self.process.terminate()
        self._thread.join(timeout=self._program.stop_seconds)
        self.process.kill()
        self._thread.join()
        return self.process.returncode


@contextmanager
def supervised(program: Program, environment: dict[str, str], log: Path) -> Iterator[Supervisor]:
    one = Supervisor(program, environment, log)
    try:
        yield one
    finally:
        one.stop()


@contextmanager
def notified(path: Path) -> Iterator[socket.socket]:
    """Where a program says that it is ready, as systemd listens for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(path))
        one.settimeout(240)
        yield one


def online(services: Services) -> bool:
    """Whether a worker of this data folder has said to Prefect's server that it is there."""
    statement = "SELECT count(*) FROM worker WHERE status = 'ONLINE'"
    try:
        return services.postgres.psql("prefect", statement) != "0"
    except subprocess.CalledProcessError:
        return False


def killed(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.nightly
def test_servers_and_worker_come_back_when_they_are_killed_and_end_when_told(home: Path, tmp_path: Path) -> None:
    folder = usable_home(home / "service")
    services, log = Services(folder), tmp_path / "log"
    environment = inherited_environment(PCO_SYNC_HOME=str(folder), NOTIFY_SOCKET=str(folder / "notify"))
    servers, worker = programs(environment)
    with notified(folder / "notify") as told, supervised(servers, environment, log) as first:
        assert told.recv(100) == b"READY=1", log.read_text()
        assert not any(services.troubles().values())
        with supervised(worker, environment, log) as second:
            wait_until(lambda: online(services), lambda: f"a worker is online: {log.read_text()}", seconds=120)

            killed(services.redis._process.running()["pid"])  # type: ignore[index]
            wait_until(services.redis.answers, lambda: f"Redis is back: {log.read_text()}", seconds=60)

            postgres = (services.postgres.data / "postmaster.pid").read_text().splitlines()[0]
            killed(first.process.pid)
            assert told.recv(100) == b"READY=1"
            assert first.starts == 2
            assert (services.postgres.data / "postmaster.pid").read_text().splitlines()[0] == postgres, "found again"

            before = second.process.pid
            killed(before)
            wait_until(lambda: second.starts == 2 and second.process.pid != before, "the worker is started again")
            services.postgres.psql("prefect", "UPDATE worker SET status = 'OFFLINE'")
            wait_until(lambda: online(services), lambda: f"it is online again: {log.read_text()}", seconds=120)

            refused = subprocess.run(
                [servers.command[0], "down"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
            )
            assert "would start them again, as a service does" in refused.stderr
            assert second.stop() == 0, log.read_text()[-2000:]
        assert first.stop() == 0, log.read_text()[-2000:]
    assert not services.has_any
    left = [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or [])]
    assert left == []


AS_A_USER = """
import sys
from deployments.app import end, main
from deployments.service import managing
managing.supervisor = lambda: managing.Systemd(is_system=False)  # root would make services of the machine
end(main())
"""
UNDER_SYSTEMD = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
export XDG_RUNTIME_DIR=/run/user/0
/lib/systemd/systemd --user --log-target=console --log-level=warning & manager=$!
service() { "$PYTHON" -c "$AS_A_USER" service "$@" < /dev/null; echo "$1 $?"; }
show() { systemctl --user show --property="$2" --value "$1.service"; }
until_is() {
    for _ in $(seq 600); do test "$(show "$1" "$2")" "$3" "$4" && return; sleep 0.2; done
    echo "waited in vain until $*"; systemctl --user status "$1"
}
for _ in $(seq 100); do systemctl --user daemon-reload 2> /dev/null && break; sleep 0.2; done
service install
service status
for name in pco-sync-servers pco-sync-worker; do
    until_is $name ActiveState = active
    pid=$(show $name MainPID)
    kill -9 "$pid"
    until_is $name MainPID != "$pid"
    until_is $name ActiveState = active
    echo "back $name"
done
systemctl --user stop pco-sync-worker
echo "result $(show pco-sync-worker Result)"
service remove
service status
systemctl --user exit
wait $manager
"""


@pytest.mark.nightly
def test_systemd_itself_starts_the_units_again_and_ends_them(home: Path, tmp_path: Path) -> None:
    """A user's systemd in a mount namespace of its own, so that it changes nothing on the machine."""
    assert Path("/lib/systemd/systemd").exists(), "this test needs systemd, though not that it runs the machine"
    assert os.geteuid() == 0, "this test makes a mount namespace, as only root may"
    folder = usable_home(home / "systemd")
    environment = inherited_environment(
        PCO_SYNC_HOME=str(folder), HOME=str(tmp_path), PYTHON=sys.executable, AS_A_USER=AS_A_USER
    )
    done = subprocess.run(
        ["unshare", "--mount", "timeout", "--kill-after=5", "600", "bash", "-c", UNDER_SYSTEMD],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    words = ("install ", "status ", "back ", "result ", "remove ")
    told = [line for line in done.stdout.splitlines() if line.startswith(words)]
    back = ["back pco-sync-servers", "back pco-sync-worker"]
    assert told == ["install 3", "status 0", *back, "result success", "remove 0", "status 1"], done.stdout + done.stderr
    assert "To start with the machine: sudo loginctl enable-linger root" in done.stdout
    assert not Services(folder).has_any
