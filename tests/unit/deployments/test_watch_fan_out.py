"""What a fan-out is said to be doing."""

import pytest

from deployments.watch_fan_out import FanOutView
from pco_store.fan_outs import FanOutCounts


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
    counts = FanOutCounts(
        state=state,
        children=3 + under_way,
        pending=0,
        submitted=0,
        running=under_way,
        completed=3,
        absent=0,
        forbidden=0,
        cancelled=0,
        dead=0,
        quarantined=0,
    )
    assert FanOutView(counts=counts, pages=3, rows=9, seconds=1.0).state == told
