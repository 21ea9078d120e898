"""Figures and their goals, as a table for people and as lines of JSON for programs."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What a figure must not exceed, or must reach."""

    at_most: float | None = None
    at_least: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Whether the figure is good enough."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        low = f"≥ {self.at_least:g}" if self.at_least is not None else ""
        high = f"≤ {self.at_most:g}" if self.at_most is not None else ""
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number that a workload came to; a median where a workload is run several times."""

    workload: str
    what: str
    value: float
    unit: str
    goal: Goal | None

    @property
    def is_met(self) -> bool | None:
        """None: there is no goal, the figure is told for comparison."""
        return None if self.goal is None else self.goal.is_met_by(self.value)


class Record:
    """Everything that was measured, told as it comes and once more at the end."""

    def __init__(self, console: Console, file: Path | None) -> None:
        self.figures: list[Figure] = []
        self._console = console
        self._file = file
        if file is not None:
            file.write_text("")
        self._write("machine", machine())

    def sample(self, workload: str, program: str, values: Mapping[str, Any]) -> None:
        """One run of one program."""
        told = ", ".join(f"{name} {_number(value)}" for name, value in values.items())
        self._console.print(f"  {program:<28} {told}", style="dim", highlight=False, soft_wrap=True)
        self._write("sample", {"workload": workload, "program": program, **values})

    def figure(self, workload: str, what: str, value: float, unit: str = "", goal: Goal | None = None) -> None:
        """A result."""
        figure = Figure(workload=workload, what=what, value=value, unit=unit, goal=goal)
        self.figures.append(figure)
        self._console.print(f"  {what}: {_number(value)} {unit}".rstrip(), highlight=False)
        told = {"workload": workload, "what": what, "value": value, "unit": unit}
        self._write("figure", {**told, "goal": str(goal) if goal else None, "met": figure.is_met})

    def show(self) -> bool:
        """The closing table; whether every goal was met."""
        shown = Table(title="goal / measured / met", title_justify="left")
        for name, justify in (("workload", "left"), ("figure", "left"), ("goal", "right"), ("measured", "right")):
            shown.add_column(name, justify="right" if justify == "right" else "left")
        shown.add_column("met")
        for one in self.figures:
            met = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[one.is_met]
            measured = f"{_number(one.value)} {one.unit}".rstrip()
            shown.add_row(one.workload, one.what, str(one.goal or ""), measured, met)
        self._console.print(shown)
        return all(one.is_met is not False for one in self.figures)

    def _write(self, kind: str, values: Mapping[str, Any]) -> None:
        if self._file is not None:
            with self._file.open("a") as lines:
                lines.write(json.dumps({"kind": kind, **values}) + "\n")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "load_before": round(psutil.getloadavg()[0], 2),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
