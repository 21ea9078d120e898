"""A stranger finds the room by its name: sizes, names and docstrings of the files."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.project import ROOT, files, layers, syntax

MOST_LINES = 500
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools", "lib"}
PYTHON = files(".py")
PRODUCT = [path for path in PYTHON if path.parts[0] in layers()]
TESTS = [path for path in PYTHON if path.parts[0] == "tests"]


def lines(path: Path) -> int:
    """How long a file is."""
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Classes, functions and methods that others may use, by dotted name, with what they say."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def test_the_whole_house_is_seen() -> None:
    assert {Path("tasks/rows/transform.py"), Path("tests/house/test_files.py")} <= set(PYTHON)
    assert set(layers()) == {path.parts[0] for path in PRODUCT}


def test_a_file_has_one_idea_and_not_too_many_lines() -> None:
    assert [path for path in PYTHON if lines(path) >= MOST_LINES] == []


def test_there_are_no_drawers() -> None:
    assert [path for path in PYTHON if not DRAWERS.isdisjoint([*path.parts[:-1], path.stem])] == []


def test_a_file_says_what_it_is_for() -> None:
    silent = [path for path in PYTHON if lines(path) and not ast.get_docstring(syntax(path))]
    assert silent == []
    assert [path for path in PYTHON if not lines(path) and path.name != "__init__.py"] == []


def test_what_others_may_use_states_its_contract() -> None:
    silent = [
        f"{path}: {name}"
        for path in PRODUCT
        for name, docstring in public_definitions(syntax(path).body)
        if not docstring
    ]
    assert silent == []


def test_every_folder_of_tests_is_a_package_so_that_it_hides_no_other() -> None:
    assert [path.parent for path in TESTS if not (ROOT / path.parent / "__init__.py").exists()] == []


def test_no_test_is_left_out() -> None:
    left_out = [
        f"{path}:{node.lineno}: {node.attr}"
        for path in TESTS
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "xfail", "importorskip"}
    ]
    assert left_out == []


def test_imports_are_absolute() -> None:
    relative = [
        path
        for path in PYTHON
        if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(syntax(path)))
    ]
    assert relative == []


def test_no_file_knows_where_it_was_written() -> None:
    texts = PYTHON + files(".md") + files(".toml") + files(".yaml") + files(".json")
    assert [path for path in texts if str(ROOT) in (ROOT / path).read_text(encoding="utf-8")] == []
