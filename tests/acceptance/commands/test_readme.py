"""The README as its reader runs it: in a new shell, with nothing set but where the data folder is."""

import re
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands.documented import blocks, in_a_shell, run
from tests.acceptance.warm_workers import ROOT
from tests.church import Church
from tests.stack import Stack

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def reader(stack: Stack, church: Church) -> dict[str, str]:
    """The embedded servers are found in the data folder. The mirror is this test's, and the church is called demo."""
    known = {name: value for name, value in church.environment().items() if name.startswith("PCO_SYNC_")}
    del known["PCO_SYNC_REDIS_URL"]
    return {**known, "PCO_SYNC_HOME": str(stack.home), "PCO_SYNC_ORG_ID": "demo"}


def test_the_python_of_the_readme_works_as_printed(reader: dict[str, str]) -> None:
    (block,) = blocks(README, "python")
    done = run([sys.executable, "-c", block], **reader)
    assert done.stdout.splitlines()[-1] == "120 120 0 0", done.stderr


def test_the_example_that_syncs_works_as_printed(reader: dict[str, str]) -> None:
    (command,) = re.findall(r"`\.venv/bin/python (examples/sync_people\.py demo)`", README)
    done = run([sys.executable, *command.split()], **reader)
    assert "completed, 120 records in " in done.stdout, done.stderr


def test_the_example_that_counts_works_without_any_server(church: Church) -> None:
    credential = {"PCO_SYNC_APPLICATION_ID": church.simulator.app_id, "PCO_SYNC_SECRET": church.simulator.secret}
    done = run([sys.executable, "examples/count_people.py", church.simulator.base_url], **credential)
    assert sum(int(number) for number in re.findall(r"\d+", done.stdout)) == 120, done.stderr
    done = run([sys.executable, "examples/count_people.py"], **credential, PCO_SYNC_PCO_BASE_URL="http://127.0.0.1:9")
    assert done.stderr.startswith("http://127.0.0.1:9: no answer from PCO")
    assert len(done.stderr.splitlines()) == 1
    wrong = {**credential, "PCO_SYNC_SECRET": "wrong"}
    done = run([sys.executable, "examples/count_people.py", church.simulator.base_url], **wrong)
    assert "PCO does not accept the credential" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["examples/count_people.py"], "set PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET"),
        (["examples/sync_people.py"], "usage: .venv/bin/python examples/sync_people.py ORG_ID [ENTITY]"),
        (["examples/sync_people.py", "demo"], "error: PREFECT_API_URL, PCO_SYNC_DATABASE_URL, PCO_SYNC_REDIS_URL not"),
    ],
)
def test_an_example_without_what_it_needs_is_a_line_that_helps(command: list[str], told: str, tmp_path: Path) -> None:
    done = run([sys.executable, *command], PCO_SYNC_HOME=str(tmp_path))
    (line,) = done.stderr.splitlines()
    assert line.startswith(told)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody"], "error: org_id 'nobody': no credentials are known for this organization"),
        (["demo", "people.Persn"], "error: Flow run received invalid parameters: - entity: Value error"),
    ],
)
def test_the_example_that_syncs_ends_with_a_line_that_helps(
    reader: dict[str, str], words: list[str], told: str
) -> None:
    done = run([sys.executable, "examples/sync_people.py", *words], **reader)
    assert done.stderr.splitlines()[-1].startswith(told), done.stderr
    assert done.returncode == 1


def test_the_shell_lines_that_find_the_servers_work_as_printed(reader: dict[str, str], stack: Stack) -> None:
    (block,) = [one for one in blocks(README, "bash") if "pco-sync env" in one]
    done = in_a_shell(f'{block.splitlines()[0]}\necho "$PREFECT_API_URL"', PCO_SYNC_HOME=str(stack.home))
    assert done.stdout.strip() == stack.prefect.api_url, done.stderr
