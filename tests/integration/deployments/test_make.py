"""`make`: what is typed reaches the command as it is, or is refused by name before anything is installed or started."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, make_targets

VALUES = {
    "ORG": "grace",
    "ENTITY": "people.Email",
    "EPOCH": "2026-11-25",
    "MODE": "delta",
    "METHOD": "full",
    "INCLUDE": "people.* giving",
    "EXCLUDE": "*.Person",
    "SQL": "SELECT 1",
    "VERSION": "3.10.0",
}
TAKES = {
    "views": {"ORG"},
    "connect": {"ORG"},
    "reader": {"ORG"},
    "doctor": {"ORG"},
    "sync": {"ORG", "ENTITY", "MODE", "INCLUDE", "EXCLUDE", "EPOCH"},
    "plan": {"ORG", "MODE", "INCLUDE", "EXCLUDE"},
    "explain": {"ENTITY"},
    "verify": {"ORG", "ENTITY", "METHOD"},
    "psql": {"SQL"},
    "try-prefect": {"VERSION"},
}
NEEDS = {"connect": {"ORG": "my-church"}, "reader": {"ORG": "my-church"}, "try-prefect": {"VERSION": "3.10.0"}}
ODD = ("Grace Church", "it's", 'say "x"', "$HOME", "$(shell id)", "a$$b", "`id`", "-x", "*")


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment whose programs print what they are called with, as JSON."""
    folder = tmp_path_factory.mktemp("venv")
    (folder / "bin").mkdir()
    shown = "import json, sys; print(json.dumps(sys.argv[1:]))"
    for name in ("python", "pco-sync"):
        program = folder / "bin" / name
        program.write_text(f"#!/bin/bash\nexec {sys.executable} -I -S -c '{shown}' \"$@\"\n")
        program.chmod(0o755)
    for marker in (".ready", ".ready-dev"):
        (folder / marker).touch()
    return folder


def make(venv: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make with a shell that has none of our variables but these."""
    kept = {name: value for name, value in os.environ.items() if name not in VALUES and not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments, f"VENV={venv}"],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def called(venv: Path, *arguments: str, **environment: str) -> list[str]:
    """What a target calls `pco-sync` with."""
    done = make(venv, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    words: list[str] = json.loads(done.stdout.splitlines()[-1])
    return words


def needed(target: str, *but: str) -> list[str]:
    return [f"{name}={value}" for name, value in NEEDS.get(target, {}).items() if name not in but]


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_each_variable_is_passed_on_by_a_target_that_takes_it_and_refused_by_name_by_others(
    target: str, venv: Path
) -> None:
    takes = TAKES.get(target, set())
    if takes:
        words = called(venv, target, *(f"{name}={VALUES[name]}" for name in sorted(takes)))
        for value in (VALUES[name] for name in takes):
            assert any(word == value or word.endswith(f"={value}") for word in words), words
    others = sorted(VALUES.keys() - takes)
    done = make(venv, target, *needed(target), *(f"{name}={VALUES[name]}" for name in others))
    assert done.returncode == 2
    assert done.stdout == ""
    refused, _, taken = done.stderr.splitlines()[0].removeprefix(f"error: make {target} does not take ").partition("; ")
    assert sorted(refused.split()) == others
    assert taken == f"it takes {' '.join(sorted(takes)) or 'no variables'}"


def test_what_a_document_or_the_help_says_of_a_target_is_taken_by_it() -> None:
    helped = re.findall(r"^([a-z-]+):.*## (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = [f"make {target} {text}" for target, text in helped]
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        texts += re.findall(r"make [a-z-]+ [A-Z]+=[^`#\n]*", document.read_text(encoding="utf-8"))
    told = [(text.split()[1], name) for text in texts for name in re.findall(r"\b([A-Z]+)=", text)]
    assert len(told) > 20
    assert [one for one in told if one[1] != "PYTHON" and one[1] not in TAKES.get(one[0], ())] == []


@pytest.mark.parametrize("value", ODD)
def test_a_value_reaches_the_command_as_it_was_typed(value: str, venv: Path) -> None:
    assert called(venv, "sync", f"ORG={value}") == ["sync", "--", value]
    assert called(venv, "sync", f"ENTITY={value}") == ["sync", "--", "demo", value]
    assert called(venv, "sync", f"INCLUDE={value}") == ["sync", f"--include={value}", "--", "demo"]
    assert called(venv, "psql", SQL=value) == ["psql", f"--command={value}"]


@pytest.mark.parametrize("target", TAKES)
def test_an_empty_value_is_refused_by_name(target: str, venv: Path) -> None:
    name = min(TAKES[target])
    for done in (
        make(venv, target, *needed(target, name), f"{name}="),
        make(venv, target, *needed(target, name), **{name: ""}),
    ):
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {name} is empty: ")


@pytest.mark.parametrize("target", NEEDS)
def test_what_a_target_needs_is_asked_for_with_an_example(target: str, venv: Path) -> None:
    ((name, example),) = NEEDS[target].items()
    done = make(venv, target)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name} is needed, such as: make {target} {name}={example}")


def test_a_misspelt_variable_is_refused(venv: Path) -> None:
    done = make(venv, "sync", "MODES=delta")
    assert done.returncode == 2
    assert "error: make sync does not take MODES; it takes ENTITY EPOCH EXCLUDE INCLUDE MODE ORG" in done.stderr


def test_a_variable_may_be_for_one_of_several_targets(venv: Path) -> None:
    assert called(venv, "up", "connect", "ORG=grace") == ["connect", "--", "grace"]


def test_a_variable_of_the_shell_that_a_target_does_not_take_is_nothing_to_it(venv: Path) -> None:
    assert called(venv, "status", MODE="dark", ORG="grace") == ["status"]


def test_a_target_ends_with_the_exit_code_of_its_command_in_its_last_line(venv: Path, tmp_path: Path) -> None:
    """Make itself can only end with 2."""
    (tmp_path / "bin").mkdir()
    for marker in (".ready", ".ready-dev"):
        (tmp_path / marker).touch()
    program = tmp_path / "bin" / "pco-sync"
    program.write_text("#!/bin/bash\nexit 3\n")
    program.chmod(0o755)
    done = make(tmp_path, "verify")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("verify] Error 3")


def test_the_help_fits_a_terminal(venv: Path) -> None:
    lines = make(venv, "help").stdout.splitlines()
    assert {line.split()[0] for line in lines} == make_targets()
    assert max(len(line) for line in lines) <= 80


def test_the_demo_installs_only_what_it_needs_and_the_tests_everything(tmp_path: Path) -> None:
    told = {target: make(tmp_path / "none", "--dry-run", target).stdout for target in ("demo", "up", "test", "check")}
    assert all(f"-m deployments.install {tmp_path / 'none'}" in one for one in told.values())
    assert ["none dev" in told[target] for target in told] == [False, False, True, True]


@pytest.mark.parametrize("python", ["/nowhere/python3", ""])
def test_a_python_that_is_not_there_is_told_in_a_line(python: str, tmp_path: Path) -> None:
    done = make(tmp_path / "none", "demo", f"PYTHON={python}")
    assert done.returncode == 2
    assert re.match(r"error: .*PYTHON", done.stderr)
