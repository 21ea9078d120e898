"""The command line: every command, and what becomes of errors, signals and exit codes."""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Final, NoReturn

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, UnusedCliTokensError, ValidationError
from rich.markup import escape

from deployments.exit_codes import DONE, INTERRUPTED, USAGE
from deployments.foreseen import foreseen
from deployments.interrupts import interrupts
from deployments.terminal import terminal

COMMANDS: Final = {
    "Try it": ("demo", "demo-crash"),
    "Servers": ("up", "down", "status", "service", "env", "psql", "migrate", "deploy", "worker"),
    "Churches": ("churches", "connect", "doctor", "plan", "sync", "verify", "views", "explain"),
    "Repairs": ("fan-outs", "replay", "cancel", "quarantine", "replay-quarantine", "reproject"),
    "Shell": ("completion",),
}
"""By what they are for. Each is the function of its name in the module of its name, imported when it is called."""

WINGS: Final = {"Try it": "trial", "Servers": "servers", "Churches": "reading", "Repairs": "repairs", "Shell": "shell"}
"""Where the modules of each kind are."""

WITH_COMMANDS: Final = ("churches", "service")
"""Those that have commands of their own: packages."""

FORMER: Final = {"sync": ("organization", "fan-out")}
"""Commands that were one of their own; who types them is led to what does it now."""


def module_of(title: str, name: str) -> str:
    """Where a command is. Those that have commands of their own are packages beside the wings."""
    wing = "" if name in WITH_COMMANDS else f"{WINGS[title]}."
    return f"deployments.commands.{wing}{name.replace('-', '_')}"


def _app() -> App:
    made = App(
        name="pco-sync",
        help="A durable, exact copy of a church's Planning Center data in Postgres, run by Prefect.",
        help_format="plaintext",
        default_parameter=Parameter(negative=()),
        version=lambda: f"pco-sync {version('pco-sync')}",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for number, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=number)
        for name in commands:
            path = f"{module_of(title, name)}:{name.replace('-', '_')}"
            of_a_function = {} if name in WITH_COMMANDS else {"synonym": FORMER.get(name)}
            made.command(path, name=name, group=group, **of_a_function)
    return made


app: Final = _app()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    interrupts.begin()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if not words or words[0] in app.help_flags:
            _load_all()
        code: Any = app(words)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except CycloptsError as error:
        return _report(_in_words(error, words), USAGE)
    except KeyboardInterrupt:
        return _report_interrupt()
    except BrokenPipeError:
        return _leave_closed_output()
    except Exception as error:
        if _is_interrupt(error):
            return _report_interrupt()
        known = foreseen(error)
        if known is None:
            raise
        return _report(*known)


def _in_words(error: CycloptsError, words: Sequence[str]) -> str:
    if isinstance(error, UnusedCliTokensError):
        extra = ", ".join(repr(one) for one in error.unused_tokens or ())
        command = " ".join(error.command_chain or words[:1])
        return f"{command} does not take {extra}; see pco-sync {command} --help"
    return (error.exception_message if isinstance(error, ValidationError) else "") or str(error)


def end(code: int) -> NoReturn:
    """End the process at once. Python would first destroy all that Prefect loaded, silently and for seconds."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # what cannot be written was told by `main`
            stream.flush()
    os._exit(code)


def _report(line: str, code: int) -> int:
    """A line that a program can read, and a terminal breaks between words."""
    console = terminal(as_json=True)
    console.print(f"[red]error:[/] {escape(line)}", highlight=False, soft_wrap=not console.is_terminal)
    return code


def _load_all() -> None:
    """Import every command: the list of them shows the first line of each one's docstring."""
    for names in COMMANDS.values():
        for name in names:
            app[name]


def _report_interrupt() -> int:
    terminal(as_json=True).print(f"\n{interrupts.last_words}", markup=False, highlight=False, soft_wrap=True)
    return INTERRUPTED


def _leave_closed_output() -> int:
    """Who read the output has left, as `| head` does. What was printed last goes nowhere, or Python would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return INTERRUPTED


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it began as Ctrl-C: Pydantic, at work while Prefect is imported, makes an error of its own of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
