"""Errors that were foreseen, in a line each, with the exit code that each one means."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from deployments.exit_codes import FAILED, USAGE

OURS: Final = ("deployments", "embedded", "flows", "tasks")
"""Besides the packages called pco_…"""

WRONG_COMMAND_LINES: Final = frozenset(
    {
        "WrongArgumentError",
        "UnknownEntity",
        "UnknownChurchError",
        "UnknownOrganizationError",
        "UnknownFanOutError",
        "PatternMatchesNothingError",
    }
)
"""Errors about what was typed; by name, because importing them all would make `--help` slow."""

OF_PREFECT: Final = ("prefect", "httpx", "httpcore", "json", "pydantic", "pydantic_core")
"""Where errors come from when Prefect was asked; the last three when what answers is not Prefect."""


def foreseen(error: Exception) -> tuple[str, int] | None:
    """An error's line and exit code; None for a defect, which is better shown with its traceback."""
    trouble = _trouble_with_prefect(error)
    if trouble is not None:
        return trouble, FAILED
    if _package(error) in OURS or _package(error).startswith("pco_"):
        is_wrong = any(kind.__name__ in WRONG_COMMAND_LINES for kind in type(error).__mro__)
        return str(error), USAGE if is_wrong else FAILED
    line = _in_words(error)
    return None if line is None else (line, FAILED)


def _trouble_with_prefect(error: Exception) -> str | None:
    """What is wrong with Prefect, if the error came from asking it and something is."""
    if not any(_package(one) in OF_PREFECT for one in _chain(error)):
        return None
    from deployments.prefect_trouble import prefect_trouble

    return prefect_trouble()


def _in_words(error: Exception) -> str | None:
    if isinstance(error, EOFError):
        return "the input ended; without a terminal set PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET"
    if type(error).__name__ == "ParameterTypeError":  # of a flow that is called, not deployed
        return " ".join(str(error).split())
    if _package(error) == "redis":
        return f"Redis cannot be used ({_cause(error)}); see PCO_SYNC_REDIS_URL"
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr or error.stdout or ""
        lines = (said if isinstance(said, str) else said.decode(errors="replace")).strip().splitlines()
        return f"{_program(error.cmd)} ended with code {error.returncode}: {lines[-1] if lines else 'it said nothing'}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{_program(error.cmd)} did not end within {error.timeout:g} s"
    if isinstance(error, OSError):
        return _about_a_file(error)
    if _package(error) in ("httpx", "httpcore"):
        return f"Prefect does not answer as it should ({_cause(error)}); its log says why"
    return None


def _about_a_file(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; free some room, then run the command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"this user may not read or write{where or ' there'}: {error.strerror}"
    return f"{error.strerror or _cause(error)}{where}"


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _program(command: object) -> str:
    first = command[0] if isinstance(command, list | tuple) and command else command
    return PurePath(os.fsdecode(first) if isinstance(first, str | bytes | os.PathLike) else str(first)).name


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
