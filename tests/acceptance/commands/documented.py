"""What a page of the documentation shows, run as its reader runs it: in a new shell of the project's folder."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.acceptance.warm_workers import ROOT

OURS: Final = ("PREFECT_", "PCO_SYNC_", "DO_NOT_TRACK")
BIN: Final = Path(sys.executable).parent


def blocks(page: str, language: str) -> list[str]:
    """Its blocks of one language, without the fences."""
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """With nothing of ours set but `environment`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False)


def in_a_shell(lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Lines of a block, pasted: one that fails does not stop the next. `.venv` is where this suite's Python is."""
    return run(["bash", "-uc", lines.replace(".venv/bin/", f"{BIN}/")], **environment)
