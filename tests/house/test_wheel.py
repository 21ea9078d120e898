"""The wheel holds only packages whose names are ours alone, and they need nothing that it does not hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT, files, layers, pyproject, syntax

WHEEL = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, anywhere in it."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_the_names_that_half_the_world_uses_are_not_in_it() -> None:
    assert all(name.startswith("pco_") for name in WHEEL)
    assert {name for name in layers() if name.startswith("pco_")} == set(WHEEL)


@pytest.mark.parametrize("package", WHEEL)
def test_a_package_of_it_is_typed_and_complete(package: str) -> None:
    assert (ROOT / package / "__init__.py").exists()
    assert (ROOT / package / "py.typed").exists()
    for path in files(".py"):
        if path.parts[0] == package:
            assert set(imported(path)) & set(layers()) <= set(WHEEL), path
