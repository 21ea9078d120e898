"""What a command prints in the end, and the exit code that goes with it."""

import io
import json
import subprocess
import sys
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Failed
from pydantic import BaseModel
from rich.console import Console

from deployments.ended import end_with, exit_code
from deployments.operations.sync import show_entities
from deployments.watching.announced import failure_of
from tasks.reports.fan_out_summary import summarize_fan_out
from tasks.reports.organization_summary import EntitySummary, OrganizationSummary
from tests.unit.tasks.run_facts import run_facts


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("completed", 0),
        ("already_completed", 0),
        ("started", 0),
        ("failed", 1),
        ("incomplete", 3),
        ("unreadable", 3),
        ("cancelled", 3),
        ("spreading", 3),
        ("already_running", 3),
        ("one that nobody has thought of", 3),
    ],
)
def test_only_what_is_done_gives_the_exit_code_of_done(outcome: str, code: int) -> None:
    assert exit_code(outcome) == code


def test_a_result_is_one_document_or_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    summary, _ = summarize_fan_out(run_facts(dead=2, completed=28))
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    assert end_with(summary, summary.told, console, as_json=True) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["dead"], document["exit_code"]) == ("incomplete", 2, 3)
    assert shown.getvalue() == ""
    assert end_with(summary, summary.told, console, as_json=False) == 3
    assert capsys.readouterr().out == ""
    assert shown.getvalue().startswith("incomplete: 30 children: 28 done")


def test_a_reason_with_brackets_is_printed_as_it_is() -> None:
    class Result(BaseModel):
        outcome: str = "failed"

    shown = io.StringIO()
    end_with(Result(), "[red] is no colour here", Console(file=shown), as_json=False)
    assert shown.getvalue() == "failed: [red] is no colour here\n"


def test_the_table_of_a_church_is_readable_at_80_columns_and_says_what_is_not_complete() -> None:
    long = "resource_channels.ConversationTemplateResource"
    entities = (
        EntitySummary(entity="groups.Membership", outcome="unreadable", reason="all 30 lists are refused"),
        EntitySummary(
            entity=long, outcome="completed", lists=1_000, rows=1_234_567, new=1_234_567, changed=12, requests=12_345
        ),
    )
    summary = OrganizationSummary(
        outcome="incomplete", key="k", org_id="grace", epoch="e", mode="full", entities=entities
    )
    shown = io.StringIO()
    show_entities(summary, Console(file=shown, width=80))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown.getvalue()
    for told in ("requests", "unreadable", "1,234,567", "12,345"):
        assert told in shown.getvalue()
    assert lines[-1] == "groups.Membership: unreadable: all 30 lists are refused"


def test_a_failed_flow_run_is_reported_by_its_error_and_not_by_prefects_words_around_it() -> None:
    state: State[None] = Failed(message="Flow run encountered an exception: UnknownOrganizationError: org_id 'typo'")
    assert failure_of(FlowRun(flow_id=uuid4(), name="shiny-stork", state=state)).reason == (
        "UnknownOrganizationError: org_id 'typo'"
    )


def test_a_command_ends_after_its_last_words_and_does_not_wait_for_python_to_destroy_what_is_loaded() -> None:
    program = """
import atexit, sys
from deployments.app import end

class Loaded:
    def __del__(self):
        sys.__stdout__.write("destroyed")
        sys.__stdout__.flush()

loaded = Loaded()
loaded.itself = loaded
atexit.register(print, "closed")
print("last words")
end(3)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "last words\nclosed\n", "")
