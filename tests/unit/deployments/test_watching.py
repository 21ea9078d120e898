"""What is told of work that is watched, and when it is over."""

import io

import pytest
from rich.console import Console

from deployments.watching.churches import church_line
from deployments.watching.fan_outs import FanOutView
from deployments.watching.following import Look, follow
from pco_store.ledger.run_facts import ChildCounts
from tasks.reports.counted import counted, there_are
from tests.unit.tasks.run_facts import run_facts


def view(state: str, *, under_way: int, done: int = 3, pages: int = 3, rows: int = 9) -> FanOutView:
    """A fan-out of which `done` children are complete."""
    counts = ChildCounts(
        state=state,
        children=done + under_way,
        pending=0,
        submitted=0,
        running=under_way,
        completed=done,
        absent=0,
        forbidden=0,
        cancelled=0,
        dead=0,
        quarantined=0,
    )
    return FanOutView(counts=counts, pages=pages, rows=rows, seconds=1.0)


@pytest.mark.parametrize(
    ("state", "under_way", "told"),
    [
        ("running", 1, "reading the parents"),
        ("awaiting", 1, "its children run"),
        ("awaiting", 0, "all children are done"),
        ("completed", 0, "completed"),
        ("cancelled", 0, "cancelled"),
    ],
)
def test_whoever_waits_is_told_what_is_waited_for(state: str, under_way: int, told: str) -> None:
    assert view(state, under_way=under_way).state == told


def test_one_of_a_thing_is_no_plural() -> None:
    assert view("awaiting", under_way=0, done=1, pages=1, rows=1).told.startswith(
        "1/1 child  0 under way  1 page  1 row  "
    )
    assert [counted(number, "query") for number in (0, 1, 1200)] == ["0 queries", "1 query", "1,200 queries"]
    assert counted(2, "child") == "2 children"
    assert counted(14, "day") == "14 days"
    assert [there_are(number, "record") for number in (1, 2)] == ["1 record is", "2 records are"]


def test_a_church_is_told_with_what_there_is_to_do_within_80_columns() -> None:
    facts = [run_facts(rows=100_000), run_facts(state="running", rows=1)]
    line = church_line(facts, 214, 3_725.0)
    assert line == "1 of 214 done, 1 under way, 100,001 rows, watched 1:02:05"
    assert len(f"  organization-1000: {line}") <= 80
    assert church_line(facts, None, 0).startswith("1 done, ")


async def test_a_log_has_the_last_look_and_a_terminal_every_one() -> None:
    looks = iter([Look(line="one page"), Look(line="two pages", is_over=True)])

    async def look(_: float) -> Look:
        return next(looks)

    log = Console(file=io.StringIO(), width=80)
    await follow(look, log, parting="it goes on")
    assert log.file.getvalue() == "  two pages\n"  # type: ignore[attr-defined]
