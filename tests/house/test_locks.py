"""The locks fit `pyproject.toml`, name no index, and have hashes of everything."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.project import ROOT, pyproject

LINE = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[a-z0-9.]+)(?: ; (?P<marker>[a-z_]+ [=!<>]+ '[\w.]+'(?: (?:and|or) )?)+)?"
    r"(?: --hash=sha256:[0-9a-f]{64})+"
)
"""All that may stand in a lock: no option, no address, no path, nothing without a hash."""
LOCKS = ("run", "embedded", "dev")


def locked(kind: str) -> dict[str, Version]:
    """The version of each package in a lock."""
    text = (ROOT / "locks" / f"{kind}.txt").read_text(encoding="utf-8").replace(" \\\n   ", "")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            assert match["name"] not in found, line
            found[match["name"]] = Version(match["version"])
    return found


def asked_for(kind: str) -> list[Requirement]:
    """What `pyproject.toml` lists for it, and what builds the project."""
    project = pyproject()["project"]
    listed = list(project["dependencies"]) + pyproject()["dependency-groups"]["build"]
    for extra in {"run": (), "embedded": ("embedded",), "dev": ("embedded", "dev")}[kind]:
        listed += project["optional-dependencies"][extra]
    return [one for one in map(Requirement, listed) if one.name != project["name"]]


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_has_each_dependency_at_an_allowed_version(kind: str) -> None:
    versions = locked(kind)
    found = [(one, versions.get(canonicalize_name(one.name))) for one in asked_for(kind)]
    assert [f"{one}: {version}" for one, version in found if version is None or version not in one.specifier] == []


def test_what_is_in_two_locks_has_the_same_version_in_both() -> None:
    run, embedded, dev = map(locked, LOCKS)
    assert run.items() <= embedded.items() <= dev.items()


def test_what_builds_the_project_is_locked() -> None:
    assert set(pyproject()["build-system"]["requires"]) <= set(pyproject()["dependency-groups"]["build"])


def test_prefect_is_bounded_to_minor_versions() -> None:
    """The warm worker stands beside Prefect's engines, and uses what has no underscore but no promise either."""
    (prefect,) = (one for one in asked_for("run") if one.name == "prefect")
    assert Version(f"{locked('run')['prefect'].major}.{locked('run')['prefect'].minor + 1}") not in prefect.specifier
