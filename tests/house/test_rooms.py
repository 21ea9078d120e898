"""Each room is found by its name and is not too full, and what documents name exists."""

import ast
import re
from collections import Counter
from pathlib import Path

from tests.house.project import ROOT, documents, files, layers, syntax

MOST_FILES = 16
"""Beside its wings; more want a wing of their own."""
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}


def test_no_room_is_too_full() -> None:
    counts = Counter(path.parent.as_posix() for path in files(".py") if path.parts[0] in layers())
    too_full = {room: number for room, number in counts.items() if number > MOST_FILES}
    assert {room: number for room, number in too_full.items() if "migrations" not in room} == {}


def test_a_wing_says_where_one_enters_and_what_it_never_does() -> None:
    wings = [path for path in files("__init__.py") if path.parts[0] in {"tasks", "pco_store"} and len(path.parts) == 3]
    silent = [path for path in wings if "migrations" not in path.parts and len(_docstring(path).splitlines()) < 3]
    assert silent == []


def test_the_walks_ask_no_clock() -> None:
    """Imports are kept by the import contracts; the clock of `datetime` is not an import."""
    asked = [
        f"{path}:{node.lineno}"
        for path in files(".py")
        if path.parts[0] == "pco_walks"
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    ]
    assert asked == []


def test_only_the_store_writes_sql() -> None:
    """Those above pass its connections and tables on; what is said to Postgres stands beside what it is said for."""
    written = [
        f"{path}: {alias.name}"
        for path in files(".py")
        if path.parts[0] in {"tasks", "flows", "deployments"}
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"sqlalchemy", "asyncpg"}
        for alias in node.names
        if alias.name not in {"AsyncConnection", "Table"}
    ]
    assert written == []


def test_a_path_or_module_that_a_document_names_exists() -> None:
    rooms = {path.parts[0] for path in files("")}
    missing = []
    for document in documents():
        for code in re.findall(r"`([^`\n]+)`", (ROOT / document).read_text(encoding="utf-8")):
            for word in re.findall(r"[\w./-]+", code):
                room = re.split(r"[/.]", word)[0]
                is_path = "/" in word and room in rooms and "." in Path(word).name
                is_module = "/" not in word and room in layers() and "." in word
                if (is_path and not (ROOT / word).exists()) or (is_module and not _is_module(word)):
                    missing.append(f"{document}: {word}")
    assert missing == []


def _is_module(name: str) -> bool:
    """Whether it is a module, a package, or something in one."""
    parts = name.strip(".").split(".")
    ways = [ROOT / Path(*parts[:length]) for length in range(min(len(parts), 2), len(parts) + 1)]
    return any(way.with_suffix(".py").exists() or (way / "__init__.py").exists() for way in ways)


def _docstring(path: Path) -> str:
    return ast.get_docstring(syntax(path)) or ""
