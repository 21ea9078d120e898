"""What a command prints can be read on 80 columns."""

import io

from rich.console import Console

from deployments.operations.plan import plan_table
from deployments.waiting import waiting
from pco_catalog.catalog import load_catalog
from tasks.request_plan import Planned


def test_every_number_of_a_plan_can_be_read_on_80_columns() -> None:
    longest = max((entity.name for entity in load_catalog().entities()), key=len)
    planned = [
        Planned(
            entity=longest,
            way="below services.ServiceType > services.Plan > services.Item",
            lists=234_567,
            records=9_876_543,
            requests=7_654_321,
            is_exact=False,
            left=345_678,
        ),
        Planned(entity="giving", way="", lists=0, records=None, requests=1, is_exact=True, unreadable="PCO says " * 9),
    ]
    screen = Console(width=80, file=io.StringIO())
    screen.print(plan_table(planned, "full sync of grace"))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in shown.splitlines()) <= 80
    for number in ("234,567", "345,678", "9,876,543", "~7,654,321"):
        assert number in shown
    for name in ("entity", "way", "lists", "records", "requests"):
        assert name in shown.splitlines()[1]
    assert "…" not in shown


def test_a_log_has_a_line_as_soon_as_something_is_waited_for() -> None:
    log = Console(width=80, file=io.StringIO())
    with waiting(log, "counting") as shown:
        assert log.file.getvalue() == "  counting\n"  # type: ignore[attr-defined]
        shown.show("reading")
    assert log.file.getvalue() == "  counting\n  reading\n"  # type: ignore[attr-defined]


def test_a_terminal_has_a_line_as_soon_as_something_is_waited_for_and_none_afterwards() -> None:
    terminal = Console(width=80, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    with waiting(terminal, "counting"):
        assert "counting" in terminal.file.getvalue()  # type: ignore[attr-defined]
    assert terminal.file.getvalue().endswith("\x1b[1A\x1b[2K")  # type: ignore[attr-defined]
