"""The image has all that the commands need, by what the Dockerfile copies and the lock lists; nothing else is there."""

import fnmatch
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.app import COMMANDS
from deployments.service.programs import programs
from tests.house.project import ROOT
from tests.house.test_locks import locked
from tests.image import UID, copy, instructions

AS_IN_THE_IMAGE = """
import importlib.metadata, importlib.abc, os, pathlib, pkgutil, re, sys
root, lock = pathlib.Path(sys.argv[1]), set(sys.argv[2].split())
there = importlib.metadata.packages_distributions()
sys.path[:] = [str(pathlib.Path.cwd()), *(one for one in sys.path if one and pathlib.Path(one).resolve() != root)]
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owners = there.get(name, ())
        if owners and not any(normal(one) in lock or normal(one) == "pco-sync" for one in owners):
            raise ModuleNotFoundError(f"No module named {name!r} in the image", name=name)

sys.meta_path[:] = [NotInstalled(), *(one for one in sys.meta_path if "editable" not in type(one).__module__)]
"""
IMPORT_ALL = """
import deployments
for one in pkgutil.walk_packages(deployments.__path__, "deployments."):
    try:
        importlib.import_module(one.name)
    except ModuleNotFoundError as error:
        print(one.name, error.name)
"""
RUN = """
from deployments.app import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("image")
    for word, rest in instructions():
        if word == "COPY":
            copy(rest, folder)
    return folder


def in_image(image: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    lock = " ".join([*locked("run"), "pip"])
    return subprocess.run(
        [sys.executable, "-c", AS_IN_THE_IMAGE + program, str(ROOT), lock, *words],
        cwd=image, env={"PATH": "/usr/bin:/bin", "HOME": str(image)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_only_what_concerns_the_embedded_servers_lacks_a_module_in_the_image(image: Path) -> None:
    done = in_image(image, IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    lacking = dict(line.split() for line in done.stdout.splitlines())
    assert set(lacking.values()) <= {"embedded", "psutil"}, lacking
    allowed = ("deployments.demo.*", "deployments.current.servers")
    assert [one for one in lacking if not any(fnmatch.fnmatch(one, pattern) for pattern in allowed)] == []


def test_commands_that_start_servers_say_in_the_image_that_there_are_none(image: Path) -> None:
    for name in ("up", "down", "demo", "env", "psql"):
        done = in_image(image, RUN, name)
        assert done.returncode == 1, done.stderr
        assert "there are none with this installation" in done.stderr, (name, done.stderr)
    done = in_image(image, RUN)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for names in COMMANDS.values() for name in names)


def test_everything_that_the_dockerfile_copies_reaches_its_build() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    let_in = [one[1:] for one in rules if one.startswith("!")]
    sources = [one for word, rest in instructions() if word == "COPY" for one in rest.split()[:-1]]
    assert [one for one in sources if not any(fnmatch.fnmatch(one, rule) for rule in let_in)] == []


def test_the_image_runs_as_somebody_without_rights_and_installs_with_hashes() -> None:
    told = list(instructions())
    assert ("USER", "pco") in told
    installs = [rest for word, rest in told if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def read(name: str) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "deployments" / name).read_text(encoding="utf-8"))
    return told


def test_a_worker_in_a_container_is_asked_whether_it_is_well_and_has_time_to_stop() -> None:
    worker = read("kubernetes.yaml")
    pod = worker["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    needed = max(one.stop_seconds for one in programs({}) if one.name == "pco-sync-worker")
    assert pod["terminationGracePeriodSeconds"] >= needed
    assert container["command"] == ["pco-sync", "worker", "--health"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "health"}
    assert worker["spec"]["selector"]["matchLabels"].items() <= worker["spec"]["template"]["metadata"]["labels"].items()
    assert [one["command"] for one in pod["initContainers"]] == [["pco-sync", "migrate"]]
    assert pod["securityContext"]["runAsUser"] == UID
    assert len({one["image"] for one in (*pod["initContainers"], container)}) == 1

    compose = read("compose.yaml")["services"]
    assert [one["command"][1] for one in compose.values()] == ["migrate", "worker", "deploy"]
    assert int(compose["worker"]["stop_grace_period"].removesuffix("s")) >= needed
    assert compose["worker"]["command"] == container["command"]
