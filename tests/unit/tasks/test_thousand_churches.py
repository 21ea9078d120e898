"""A thousand churches at an interval of an hour, a tenth of them broken, by the rules of ours: who starts when, which
queues a worker takes of, and how long a broken church may keep a place. Prefect and the work itself are simulated.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from deployments.provisioning.worker import SHARES
from pco_worker.shares import Shares
from tasks.churches.starting import start_of
from tasks.retries import DELTA_SECONDS

HOUR: Final = timedelta(hours=1)
BEGIN: Final = datetime(2026, 11, 29, tzinfo=UTC)
INTERVALS: Final = 3
PLACES: Final = 20
DELTA: Final = 8.0
"""Seconds that a delta of a healthy church keeps a place; it was measured as 1.6 on an idle machine."""
LONGEST: Final = 2 * DELTA_SECONDS
"""For what does not answer: a list's first page is tried for a minute, and those begun meanwhile for another one."""
BROKEN: Final[Mapping[str, float]] = {
    "hanging": LONGEST,
    "hanging token endpoint": LONGEST,
    "connection refused": LONGEST,
    "503": LONGEST,
    "429": LONGEST,
    "HTML": LONGEST,
    "slow by 50 s an answer": 6 * 50.0,
    "broken records": LONGEST,
    "revoked token": 1.0,
    "backfill of three hours": 3 * 3600.0,
}
PRIORITY: Final = ("default", "deltas", "background", "children")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A flow run that waits. `seconds`: how long it will keep its place."""

    church: str
    queue: str
    due: float
    seconds: float


def worked_off(runs: list[Run]) -> list[tuple[Run, float]]:
    """The runs and their starts, in seconds, on one worker: of those that are due, as Prefect orders them and the
    shares allow.
    """
    shares = Shares.parse(SHARES, limit=PLACES)
    coming = sorted(runs, key=lambda run: run.due, reverse=True)
    waiting: dict[str, list[tuple[float, int, Run]]] = {queue: [] for queue in PRIORITY}
    held: list[tuple[float, int, str]] = []
    taken: Counter[str] = Counter()
    started: list[tuple[Run, float]] = []
    now = 0.0
    while coming or held:
        now = min(coming[-1].due if coming else float("inf"), held[0][0] if held else float("inf"))
        while held and held[0][0] <= now:
            taken[heapq.heappop(held)[2]] -= 1
        while coming and coming[-1].due <= now:
            run = coming.pop()
            heapq.heappush(waiting[run.queue], (run.due, len(coming), run))
        for queue in PRIORITY:
            while waiting[queue] and len(held) < PLACES and shares.room(queue, taken):
                _, _, run = heapq.heappop(waiting[queue])
                taken[queue] += 1
                heapq.heappush(held, (now + run.seconds, len(started), queue))
                started.append((run, now))
    return started


def hours(broken: Mapping[str, float], *, seconds_of_broken: float | None = None) -> list[tuple[Run, float]]:
    """Three of them: a tenth of the churches is broken, in the ten ways in turn."""
    ways = list(broken.items())
    runs = []
    for number in range(1000):
        org_id = f"church-{number}"
        way, seconds = ways[number // 10 % len(ways)] if ways and number % 10 == 0 else ("healthy", DELTA)
        for hour in range(INTERVALS):
            due = BEGIN + hour * HOUR
            start = (start_of(org_id, due=due, spread=HOUR, now=due) - BEGIN).total_seconds()
            queue = "background" if seconds > 3600 else "deltas"
            if way != "healthy" and queue == "deltas" and seconds_of_broken is not None:
                seconds = seconds_of_broken
            runs.append(Run(church=f"{way}: {org_id}", queue=queue, due=start, seconds=seconds))
    return worked_off(runs)


def latest(started: list[tuple[Run, float]]) -> float:
    """The longest time that a healthy church had to wait for a place."""
    waits = [at - run.due for run, at in started if run.church.startswith("healthy")]
    assert len(waits) in (900 * INTERVALS, 1000 * INTERVALS)
    return max(waits)


def test_every_healthy_church_is_current_in_each_interval_and_none_waits_for_the_broken_ones() -> None:
    assert latest(hours(BROKEN)) + DELTA < 60, "seconds of an hour"


def test_a_token_endpoint_that_hangs_costs_the_others_nothing() -> None:
    alone = latest(hours({}))
    assert latest(hours({"hanging token endpoint": LONGEST})) <= alone + 1


def test_the_simulation_would_show_churches_that_keep_their_places() -> None:
    """As they did when each of 48 lists was tried for a quarter of an hour, eight at a time."""
    assert latest(hours(BROKEN, seconds_of_broken=6 * 900.0)) > HOUR.total_seconds()
