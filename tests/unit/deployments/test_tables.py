"""What a command prints can be read on 80 columns."""

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from deployments.operations.plan import MAY_BE_READ, plan_table
from deployments.waiting import waiting
from pco_catalog.catalog import load_catalog
from tasks.request_plan import Planned

LONGEST = max((entity.name for entity in load_catalog().entities()), key=len)


def shown(planned: Sequence[Planned]) -> list[str]:
    """The lines of a table on 80 columns."""
    screen = Console(width=80, file=io.StringIO())
    screen.print(plan_table(planned, "full sync of grace"))
    lines: list[str] = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    return lines


def test_every_number_of_a_plan_can_be_read_on_80_columns() -> None:
    dear = Planned(
        entity=LONGEST,
        way="below services.ServiceType > services.Plan > services.Item",
        lists=234_567,
        records=9_876_543,
        requests=7_654_321,
        is_exact=False,
        left=345_678,
        age_minutes=56 * 24 * 60,
    )
    refused = Planned(
        entity="giving", way="", lists=0, records=None, requests=1, is_exact=True, unreadable="PCO says " * 9
    )
    lines = shown([dear, refused])
    assert lines[1].split() == ["entity", "records", "requests", "age"]
    for number in ("234,567", "345,678", "9,876,543", "~7,654,321", "56 days"):
        assert any(number in line for line in lines)
    with_days = [replace(dear, night=136_684, day=136_780), replace(refused, night=1, day=1)]
    lines = shown(with_days)
    assert lines[1].split() == ["entity", "records", "full", "night", "day", "age"]
    for number in ("234,567", "345,678", "9,876,543", "~7,654,321", "~136,684", "~136,780", "56 days"):
        assert any(number in line for line in lines)


def test_products_of_which_nothing_is_to_be_said_are_one_line() -> None:
    one = Planned(entity="api", way=MAY_BE_READ, lists=0, records=None, requests=1, is_exact=True, night=1, day=1)
    products = [one, replace(one, entity="people"), replace(one, entity="giving", unreadable="PCO answered 403")]
    lines = shown(products)
    assert [line.split() for line in lines if "products" in line] == [["2", "products", "2", "~2", "~2"]]
    assert [line.split()[0] for line in lines if line[:1].isalpha()][2:] == ["giving"]


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
