"""The command line before anything is started: its help, what it refuses, and what it hands on."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from deployments.app import COMMANDS, WINGS, WITH_COMMANDS, main, module_of
from deployments.commands.reading.sync import flow_parameters
from deployments.exit_codes import DONE, FAILED, USAGE
from deployments.parameters import WrongArgumentError
from tests.house.project import ROOT

pytestmark = pytest.mark.usefixtures("restored_signals", "nothing_runs")

TITLES = {name: title for title, names in COMMANDS.items() for name in names}
NAMES = list(TITLES)
NO_REPORT = {"demo", "demo-crash", "up", "down", "env", "psql", "worker", "completion"}
"""They show, start or print something; there is no result for a program."""
SLOW = ("prefect", "sqlalchemy", "asyncpg", "httpx", "redis", "embedded")
"""What takes longer to import than a command may that does without."""


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that names no server, and a terminal of 80 columns."""
    monkeypatch.setenv("PCO_SYNC_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PREFECT_API_URL", "PCO_SYNC_DATABASE_URL", "PCO_SYNC_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def function_of(name: str) -> Any:
    found = getattr(import_module(module_of(TITLES[name], name)), name.replace("-", "_"))
    return found.default_command if isinstance(found, App) else found


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_that_fits_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == DONE
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: pco-sync {name}")
    assert " ".join(inspect.getdoc(function_of(name)).split()) in " ".join(told.split())  # type: ignore[union-attr]
    assert max(map(len, told.splitlines())) <= 80
    assert "…" not in told


def test_the_list_of_commands_has_each_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {words[1]: words[2:-1] for line in lines if len(words := line.split()) > 3 and words[0] == "│"}
    assert all(rows[name][0][0].isupper() for name in NAMES), "a sentence each"
    of_one = [path for wing in WINGS.values() for path in ROOT.glob(f"deployments/commands/{wing}/[a-z]*.py")]
    assert len(of_one) + len(WITH_COMMANDS) == len(NAMES), "a file for each command"


@pytest.mark.parametrize("name", ["add", "rename", "pause", "resume", "remove", "reader"])
def test_what_is_done_to_a_church_has_help_and_a_report(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["churches", name, "--help"]) == DONE
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: pco-sync churches {name}")
    assert max(map(len, told.splitlines())) <= 80
    assert "--json" in told
    main(["churches", "--help"])
    assert re.search(rf"│ {name} +[A-Z]", capsys.readouterr().out), "a sentence each"


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == DONE
    assert capsys.readouterr().out == "pco-sync 0.2.0\n"


@pytest.mark.parametrize(
    "command",
    ["['--version']", "['--help']", "['explain', 'people.Person']", "['sync', 'grace', 'people.Persn']"],
)
def test_what_needs_no_prefect_does_not_wait_for_its_import(command: str) -> None:
    program = f"""
import sys
from deployments.app import main
code = main({command})
print(sorted({set(SLOW)} & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_no_command_waits_for_prefect_to_show_its_help() -> None:
    program = f"""
import sys
from deployments.app import COMMANDS, main
for names in COMMANDS.values():
    for name in names:
        main([name, "--help"])
print(sorted({set(SLOW)} & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["synk"], 'Did you mean "sync"'),
        (["organization", "grace"], 'Did you mean "sync"'),
        (["fan-out", "grace", "groups.Membership"], 'Did you mean "sync"'),
        (["sync"], "ORG requires an argument"),
        (["sync", "grace", "people.Persn"], "did you mean people.Person"),
        (["sync", "grace", "people.Organization"], "is not mirrored: PCO lists it nowhere"),
        (["sync", "grace", "Household"], "'Household' is written with its product: people.Household"),
        (["sync", "grace", "peeple"], "did you mean people"),
        (["sync", "grace", "x.*"], "the pattern 'x.*' fits nothing"),
        (["sync", "grace", "--include", "people.*", "peeple"], "did you mean people"),
        (["sync", "Grace Church"], "such as 'grace'; did you mean grace-church?"),
        (["sync", "grace", "--mode", "fast"], 'Choose from: "full", "delta", "rest"'),
        (["sync", "grace", "people.Person", "--mode", "rest"], "--mode rest is for a church"),
        (["sync", "grace", "--groups-per-run", "0"], "Must be >= 1"),
        (["sync", "grace", "people.Person", "--inklude", "x"], "Did you mean --include?"),
        (["sync", "grace", "people.Person", "--below", "groups.Group"], "--below cannot be given for people.Person"),
        (["sync", "grace", "groups.Membership", "--include", "people"], "--include cannot be given for groups.Memb"),
        (["sync", "grace", "groups.Membership", "--below", "people.Person"], "groups.Membership"),
        (["plan", "grace", "--exclude", "peeple"], "did you mean people"),
        (["verify", "grace", "people.Persn"], "did you mean people.Person"),
        (["replay", "grace", "people.Campus", "--epoch", "e"], "people.Campus is not listed below any parent"),
        (["cancel", "grace", "groups.Membership"], "--epoch requires an argument"),
        (["quarantine", "grace", "--entity", "people.Persn"], "did you mean people.Person"),
        (["reproject"], "name a church, or --all of them; not both"),
        (["reproject", "grace", "--all"], "name a church, or --all of them; not both"),
        (["explain", "people.Persn"], "did you mean people.Person"),
        (["worker", "--limit", "none"], "--limit"),
        (["worker", "--limit", "1"], "Must be >= 2"),
        (["psql", "SELECT 1"], "psql does not take 'SELECT 1'; see pco-sync psql --help"),
        (["churches", "pause", "a", "b"], "churches pause does not take 'b'; see pco-sync churches pause --help"),
        (["completion", "tcsh"], 'Choose from: "bash", "zsh", "fish"'),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_is_mistyped_is_refused_before_anything_is_looked_for(
    command: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else it would be told that no server runs, with another exit code."""
    assert main(command) == USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) == 1
    assert told in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((None, {"include": ["giving"]}), {"mode": "full", "include": ["giving"], "groups_per_run": 50}),
        ((None, {"mode": "rest", "epoch": "e"}), {"mode": "rest", "epoch": "e", "include": []}),
        (("people.Person", {"mode": "delta"}), {"mode": "delta", "on_conflict": "join", "many_deletions": "stop"}),
        (("groups.Membership", {}), {"groups_per_run": 1, "most_under_way": 200}),
        (("groups.Membership", {"below": ["groups.Group"]}), {"below": ["groups.Group"]}),
    ],
)
def test_one_command_gives_each_flow_what_it_takes(
    arguments: tuple[str | None, dict[str, Any]], told: dict[str, Any]
) -> None:
    parameters = flow_parameters(*arguments)
    assert told.items() <= parameters.items()
    if arguments[0] is not None:
        assert not {"include", "exclude"} & parameters.keys()
        assert ("mode" in parameters) is (arguments[0] == "people.Person")
    with pytest.raises(WrongArgumentError, match="--sideways cannot be given for"):
        flow_parameters(arguments[0], {"sideways": True})


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_reports_answers_programs(name: str) -> None:
    assert ("json" in inspect.signature(function_of(name)).parameters) is (name not in NO_REPORT)


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "people.Address", "--json"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["table"], told["ways"][0]["way"]) == ("people.address", "full")
    assert main(["status", "--json"]) == FAILED
    told = json.loads(capsys.readouterr().out)
    assert (told["servers"], told["exit_code"]) == ({}, FAILED)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == DONE
    script = capsys.readouterr().out
    assert all(name in script for name in (*NAMES, "many-deletions", "restart"))
    if shell == "bash":
        asked = f'{script}\nCOMP_WORDS=(pco-sync re); COMP_CWORD=1; _pco_sync; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == {"replay", "replay-quarantine", "reproject"}


def outside(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`pco-sync` as it is where only this folder can be imported, and not the checkout."""
    program = f"""
import sys
from pathlib import Path
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path({str(ROOT)!r})]
sys.path.insert(0, {str(folder)!r})
sys.argv = ["pco-sync", *{command.split()!r}]
import pco_sync
pco_sync.main()
"""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False
    )


def test_the_image_has_the_same_command(tmp_path: Path) -> None:
    copied = [
        line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY pco_")
    ]
    for folder in (*copied, "flows", "tasks", "deployments"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert outside("--help", tmp_path).returncode == DONE
    done = outside("sync grace people.Persn", tmp_path)
    assert (done.returncode, "did you mean people.Person" in done.stderr) == (USAGE, True)
    done = outside("sync grace people.Person", tmp_path)
    assert done.returncode == FAILED
    assert done.stderr.startswith("error: PREFECT_API_URL, PCO_SYNC_DATABASE_URL, PCO_SYNC_REDIS_URL have to name")


def test_the_wheel_alone_says_where_the_command_works(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pco_sync", tmp_path / "pco_sync")
    done = outside("--help", tmp_path)
    assert done.returncode == FAILED
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: pco-sync runs in a checkout or in its image; ")
