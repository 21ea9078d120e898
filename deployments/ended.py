"""How a command ends: its result on standard output if a program asked for it, else in lines; and its exit code."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from deployments.exit_codes import DONE, FAILED, INCOMPLETE

_CODES: Final = {"completed": DONE, "already_completed": DONE, "started": DONE, "failed": FAILED}
"""Every other outcome, those that nobody has thought of included, is incomplete: something is left, or not known."""

COLOURS: Final = {DONE: "green", FAILED: "red", INCOMPLETE: "yellow"}


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
        line = Text.assemble((words, COLOURS[code]), f": {told}" if told else "")
        console.print(line, soft_wrap=not console.is_terminal)
    return code


def print_document(document: Mapping[str, Any]) -> None:
    """One JSON document, alone on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
