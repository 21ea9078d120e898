"""The Dockerfile's steps carried out in a folder: commands and syncs work there, as a user without rights."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.app import COMMANDS
from embedded.home import usable_home
from embedded.server_process import free_port
from embedded.services import MIRROR_DATABASE, Services
from tests.image import UID, copy, instructions, pip_steps
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

pytestmark = pytest.mark.nightly

COMMANDS_OF_CHURCHES = ("add", "rename", "pause", "resume", "remove", "reader")
WITHOUT_SERVERS = ("up", "down", "demo", "demo-crash", "env")


@dataclass(frozen=True)
class Image:
    """A folder as the Dockerfile leaves its working directory, with a virtual environment in place of a system."""

    folder: Path
    programs: Path
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.programs / "pco-sync"), *words],
            cwd=self.folder, env=self.environment, user=UID, group=UID, extra_groups=[],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def result(self, *words: str, code: int = 0) -> dict[str, object]:
        done = self.run(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        told: dict[str, object] = json.loads(done.stdout)
        return told


def python_for_everybody() -> str:
    """A Python that the image's user may start; root's own often may not be."""
    for one in (sys.executable, *(f"/usr/bin/python3{minor}" for minor in ("", ".14", ".13", ".12", ".11"))):
        real = os.path.realpath(one)
        tried = [real, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if Path(real).exists():
            try:
                if subprocess.run(tried, user=UID, group=UID, extra_groups=[], check=False).returncode == 0:
                    return real
            except PermissionError:
                continue
    pytest.fail("no Python 3.11 here may be started by another user than root; install the system's own")


@pytest.fixture(scope="module")
def services(home: Path) -> Iterator[Services]:
    """Servers of one's own, as the image sees them: by their addresses."""
    one = Services(usable_home(home / "image"))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def image(services: Services, home: Path) -> Image:
    """The image, built."""
    root = home / "built"
    root.mkdir()
    home.chmod(0o755)
    folder, venv, user_home = root / "image", root / "venv", root / "home"
    subprocess.run([python_for_everybody(), "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check", "-q"]
    for word, rest in instructions():
        if word == "COPY":
            copy(rest, folder)
        elif word == "RUN":
            for step in pip_steps(rest):
                subprocess.run([*pip, *step], cwd=folder, check=True)
        else:
            assert word in ("FROM", "WORKDIR", "USER", "CMD"), f"the tests do not know this instruction: {word}"
    user_home.mkdir()
    os.chown(user_home, UID, UID)
    services.postgres.psql(MIRROR_DATABASE, "CREATE ROLE image LOGIN SUPERUSER PASSWORD 'of the image'")
    port = services.postgres.port
    environment = {
        "HOME": str(user_home),
        "PATH": f"{venv / 'bin'}:{Path(services.postgres.psql_command('x')[0]).parent}:/usr/bin:/bin",
        "PREFECT_API_URL": services.prefect.api_url,
        "PCO_SYNC_DATABASE_URL": f"postgresql://image:of%20the%20image@127.0.0.1:{port}/{MIRROR_DATABASE}",
        "PCO_SYNC_REDIS_URL": services.redis.url,
        "PREFECT_WORKER_WEBSERVER_PORT": str(free_port()),
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        "DO_NOT_TRACK": "1",
    }
    return Image(folder, venv / "bin", environment)


def test_every_command_has_its_help_in_the_image_and_the_rest_says_what_is_not_there(image: Image) -> None:
    commands: list[tuple[str, ...]] = [(name,) for names in COMMANDS.values() for name in names]
    commands += [("churches", name) for name in COMMANDS_OF_CHURCHES]
    commands += [("service", name) for name in ("install", "status", "remove")]
    for words in [(), *commands]:
        done = image.run(*words, "--help")
        assert (done.returncode, done.stderr) == (0, ""), words
    for name in WITHOUT_SERVERS:
        done = image.run(name)
        assert done.returncode == 1
        assert "there are none with this installation" in done.stderr, done.stderr


def test_a_church_is_connected_synced_verified_and_read_in_the_image(image: Image) -> None:
    with SimulatorProcess(people=60, groups=4) as simulator:
        for name in ("migrate", "deploy"):
            done = image.run(name)
            assert done.returncode == 0, done.stderr
        file = image.folder.parent / "churches.csv"
        file.write_text(
            "org_id,application_id,secret,base_url,paused,display_name\n"
            f"image,{simulator.app_id},{simulator.secret},{simulator.base_url},true,Image\n"
        )
        done = image.run("churches", "add", str(file))
        assert done.returncode == 0, done.stderr
        worker = subprocess.Popen(
            [str(image.programs / "pco-sync"), "worker", "--health"],
            cwd=image.folder, env=image.environment, user=UID, group=UID, extra_groups=[],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            health = f"http://127.0.0.1:{image.environment['PREFECT_WORKER_WEBSERVER_PORT']}/health"
            wait_until(lambda: _is_well(health), "the worker says that it is well", seconds=120)
            assert image.result("sync", "image", "people.Email")["exit_code"] == 0
            assert image.result("sync", "image", "groups.Membership")["exit_code"] == 0
            assert image.result("verify", "image", "people.Email", "--method", "full")["exit_code"] == 0
            counted = image.run("psql", "-c", "SELECT count(*) AS n FROM people.email WHERE org_id = 'image'")
            assert counted.returncode == 0, counted.stderr
            count = re.search(r"^\s*(\d+)$", counted.stdout, flags=re.MULTILINE)
            assert count is not None
            assert int(count[1]) == len(simulator.state("people.Email")) > 0
            assert image.result("churches", "reader", "image")["host"] == "127.0.0.1"
            for words in (
                ("plan", "image"),
                ("explain", "people.Email"),
                ("quarantine", "image"),
                ("fan-outs", "image"),
                ("views", "image"),
                ("reproject", "image"),
                ("churches",),
                ("replay-quarantine", "image"),
            ):
                done = image.run(*words)
                assert done.returncode == 0, (words, done.stdout + done.stderr)
            status = image.run("status")
            assert status.returncode in (0, 3), status.stderr
            assert "1 online on pco-sync" in status.stdout
        finally:
            worker.send_signal(signal.SIGTERM)
            told, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0, told[-3000:]


def _is_well(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_nothing_in_the_image_belongs_to_its_user(image: Image) -> None:
    """What runs there cannot change what runs there."""
    for one in (image.folder, image.programs):
        assert one.stat().st_uid == 0
    assert shutil.which("pco-sync", path=str(image.programs)) is not None
