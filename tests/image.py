"""The image of the Dockerfile without a container engine: its steps, carried out in a folder."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.house.project import ROOT

UID = 10001
"""Of the user that the Dockerfile makes."""
PREPARED = ("apt-get update", "useradd --create-home --uid 10001 pco")
"""How the steps begin that concern the system below: packages and users of the image."""


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions and what follows each."""
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def copy(rest: str, folder: Path) -> None:
    """Carry out a COPY: what the build's context has of it, into the image's working directory."""
    *sources, target = shlex.split(rest)
    for source in sources:
        origin = ROOT / source
        place = folder / target / origin.name if target.endswith("/") else folder / target
        if origin.is_dir():
            shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, place)


def pip_steps(rest: str) -> list[list[str]]:
    """The pip commands of a RUN, as arguments; none of one that prepares the system. Raises `AssertionError`."""
    if rest.startswith(PREPARED):
        return []
    words = shlex.split(rest)
    assert words[:2] == ["pip", "install"], f"the tests do not know this step of the Dockerfile: {rest}"
    return [words[1:]]
