"""The pull step of deployments whose code is where this package is installed from: in a checkout, or in an image.

So no deployment carries a path, and workers on machines that keep the checkout in different folders share its pool.
"""

import os
from pathlib import Path
from typing import Final

ENTER: Final = "pco_worker.installed_code.enter"
"""The step's name in prefect.yaml."""


class CodeNotFoundError(Exception):
    """There is no code beside this package."""


def installed_code() -> Path:
    """The folder that flows are loaded from. Raises `CodeNotFoundError`."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "flows").is_dir():
        raise CodeNotFoundError(
            f"pco-sync is installed in {folder}, without its flows. Install it from a checkout (make setup), or with "
            "pip install --editable, or use its image"
        )
    return folder


def enter() -> dict[str, str]:
    """Make that folder the working directory. Raises `CodeNotFoundError`."""
    os.chdir(installed_code())
    return {"directory": os.getcwd()}
