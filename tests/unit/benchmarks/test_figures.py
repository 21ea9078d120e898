"""What the bench claims: goals, and the floor that PCO's limit sets."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.figures import Goal, Record
from benchmarks.workloads.w5_budget import floor_seconds


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        (Goal(at_most=3.0), 3.0, True),
        (Goal(at_most=3.0), 3.01, False),
        (Goal(at_least=98), 98.0, True),
        (Goal(at_least=98), 97.9, False),
        (Goal(at_most=0), 0, True),
        (Goal(at_most=0), 1, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: Goal, value: float, is_met: bool) -> None:
    assert goal.is_met_by(value) is is_met


@pytest.mark.parametrize(("requests", "seconds"), [(1, 0), (100, 0), (101, 20), (200, 20), (201, 40)])
def test_a_hundred_requests_go_out_at_once_and_a_hundred_more_every_twenty_seconds(
    requests: int, seconds: float
) -> None:
    assert floor_seconds(requests) == seconds


def test_one_missed_goal_fails_the_bench_and_figures_without_a_goal_do_not(tmp_path: Path) -> None:
    told = tmp_path / "figures.jsonl"
    record = Record(Console(file=StringIO()), told)
    record.figure("W", "for comparison", 12.0)
    record.figure("W", "good", 2.0, "x", Goal(at_most=3.0))
    assert record.show()
    record.figure("W", "bad", 4.0, "x", Goal(at_most=3.0))
    assert not record.show()
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["machine", "figure", "figure", "figure"]
    assert [line["met"] for line in lines[1:]] == [None, True, False]
