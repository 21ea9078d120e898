"""The project as files: where they are, and what stands in them."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"__pycache__", "build", "dist"}


def files(suffix: str) -> tuple[Path, ...]:
    """The project's files that end so, relative to its root; nothing hidden, nothing generated."""
    return tuple(sorted(one.relative_to(ROOT) for one in _walk(ROOT) if one.name.endswith(suffix)))


@cache
def syntax(path: Path) -> ast.Module:
    """A Python file's syntax tree."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def pyproject() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def layers() -> tuple[str, ...]:
    """The project's own top-level packages, without the tests."""
    return tuple(pyproject()["tool"]["importlinter"]["root_packages"])


def documents() -> tuple[Path, ...]:
    """What people read: the Markdown files, relative to the root."""
    return files(".md")


def make_targets() -> set[str]:
    """What can follow `make`."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name in NOT_OURS or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry
