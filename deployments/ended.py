"""How a command ends: its result on standard output if a program asked for it, else in lines; and its exit code."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from prefect.client.schemas.objects import FlowRun
from prefect.utilities.urls import url_for
from pydantic import BaseModel
from rich.console import Console

from deployments.exit_codes import DONE, FAILED, INCOMPLETE

_CODES: Final = {"completed": DONE, "already_completed": DONE, "started": DONE, "failed": FAILED}
"""Every other outcome, those that nobody has thought of included, is incomplete: something is left, or not known."""

PREFECTS_WORDS: Final = "Flow run encountered an exception: "
"""What Prefect writes before every error, which is the news."""

COLOURS: Final = {DONE: "green", FAILED: "red", INCOMPLETE: "yellow"}


class Failure(BaseModel):
    """The result of work that ended before the ledger knew of it, by Prefect's state of its flow run."""

    outcome: str
    reason: str
    flow_run: str = ""


def failure_of(flow_run: FlowRun) -> Failure:
    """What Prefect says of a flow run that ended without the ledger's knowing of it."""
    state = flow_run.state
    outcome = "cancelled" if state is not None and state.is_cancelled() else "failed"
    reason = (state.message or str(state.name)) if state is not None else "Prefect knows no state of it"
    return Failure(outcome=outcome, reason=reason.removeprefix(PREFECTS_WORDS), flow_run=flow_run.name)


class Started(BaseModel):
    """The result of a command that does not wait: which flow run does the work; not `is_new` if it was there before."""

    outcome: str = "started"
    flow_run: str
    url: str | None
    is_new: bool


def announce(flow_run: FlowRun, console: Console, *, is_new: bool = True) -> Started:
    """Say which flow run does the work, and where it is seen."""
    url = url_for(flow_run)
    console.print(f"{'started' if is_new else 'runs or ran already'}: {flow_run.name}", highlight=False)
    console.print(f"  {url}", highlight=False, soft_wrap=True)
    return Started(flow_run=str(flow_run.id), url=url, is_new=is_new)


def exit_code(outcome: str) -> int:
    """The exit code of an outcome."""
    return _CODES.get(outcome, INCOMPLETE)


def end_with(result: BaseModel | Mapping[str, Any], told: str, console: Console, *, as_json: bool) -> int:
    """Print the one result, as a document or as the last line of the terminal; the exit code that it means."""
    facts = result.model_dump(mode="json") if isinstance(result, BaseModel) else dict(result)
    code = exit_code(str(facts["outcome"]))
    if as_json:
        print_document({**facts, "exit_code": code})
    else:
        words = str(facts["outcome"]).replace("_", " ")
        console.print(f"[{COLOURS[code]}]{words}[/]", end="", highlight=False)
        console.print(f": {told}" if told else "", highlight=False, markup=False, soft_wrap=True)
    return code


def print_document(document: Mapping[str, Any]) -> None:
    """One JSON document, alone on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
