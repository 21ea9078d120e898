"""A flow whose file takes its time, so that the run is claimed and has not begun."""

import os
import time
from pathlib import Path

from prefect import flow

folder = Path(os.environ["SLOW_TO_LOAD_FOLDER"])
(folder / "loading").touch()
while not (folder / "may load").exists():
    time.sleep(0.05)


@flow
async def slow_to_load() -> None:
    """Say that it ran."""
    (folder / "ran").touch()
