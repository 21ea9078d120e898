"""Lanes share the budget of a credential: who asks for little is served while others ask for much."""

import asyncio
import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from pco_client.governor import ProcessGovernor
from pco_client.rate_limit import CLAIMED_WAIT, MARGIN, Budget
from tests.unit.pco_client.test_budget import PERIOD, most_in_any_window, take, take_all


@dataclass
class Traffic:
    """Lanes that ask as soon as they may, a request each at a time, until the time is over."""

    budget: Budget
    now: float = 0.0
    taken: dict[str, list[float]] = field(default_factory=dict)

    def run(self, until: float, asks: dict[str, float]) -> None:
        """`asks`: the lanes, and how many seconds each needs between a permit and the next question."""
        ready = dict.fromkeys(asks, self.now)
        while True:
            lane = min(ready, key=lambda one: ready[one])
            self.now = ready[lane]
            if self.now >= until:
                return
            wait = take(self.budget, self.now, lane=lane)
            if wait == 0:
                self.taken.setdefault(lane, []).append(self.now)
            ready[lane] = self.now + (wait or asks[lane])


@pytest.mark.parametrize(("pause", "least"), [(0.01, 80), (0.2, 15), (0.5, 6)])
def test_a_small_delta_is_served_while_a_backfill_runs(pause: float, least: int) -> None:
    """One that asks as eagerly gets its half; one that reads page after page waits a window at most for each."""
    traffic = Traffic(Budget())
    traffic.run(45.0, {"backfill": 0.01})
    traffic.run(110.0, {"backfill": 0.01, "delta": pause})
    delta = traffic.taken["delta"]
    assert delta[0] - 45.0 <= PERIOD + MARGIN
    assert max(after - before for before, after in pairwise(delta)) <= PERIOD + MARGIN
    assert sum(1 for moment in delta if moment >= 66.0) >= least
    everything = sorted(moment for lane in traffic.taken.values() for moment in lane)
    assert most_in_any_window(everything, PERIOD) == 100
    assert sum(1 for moment in everything if 66.0 <= moment < 66.0 + 2 * (PERIOD + MARGIN)) >= 197


def test_lanes_that_ask_alike_share_alike() -> None:
    traffic = Traffic(Budget())
    traffic.run(200.0, {"a": 0.02, "b": 0.021, "c": 0.022})
    counts = [len(moments) for moments in traffic.taken.values()]
    assert sum(counts) >= 950
    assert max(counts) - min(counts) <= 10


def test_the_last_permit_is_kept_for_the_lane_that_took_less_but_not_for_long() -> None:
    budget = Budget(limits={False: 5, True: 5})
    for moment in (0.0, 1.0, 4.0, 4.0, 4.0):
        assert take(budget, moment, lane="backfill") == 0
    assert take(budget, 5.0, lane="delta") == 15.25
    assert take(budget, 20.25, lane="backfill") == CLAIMED_WAIT
    assert take(budget, 20.25, lane="delta") == 0
    assert take(budget, 22.0, lane="backfill") == CLAIMED_WAIT  # the delta was served less than 2 seconds ago
    assert take(budget, 22.25, lane="backfill") == 0


def test_a_lane_without_a_name_is_a_lane_like_others() -> None:
    budget = Budget(limits={False: 2, True: 2})
    assert [take(budget, moment, lane="") for moment in (0.0, 10.0)] == [0, 0]
    take(budget, 10.0, lane="delta")
    assert take(budget, 20.25, lane="") == CLAIMED_WAIT
    # what it took is forgotten with the window
    assert take_all(budget, 60.0, lane="") == 2


async def test_in_one_process_waiters_of_one_lane_queue_and_their_wait_is_counted_once() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        await asyncio.sleep(0)
        now += seconds

    governor = ProcessGovernor(budget=Budget(limits={False: 2, True: 2}), now=lambda: now, sleep=sleep)
    permits = await asyncio.gather(*(governor.acquire(lane="people", deep=False) for _ in range(5)))
    assert [permit.taken_at for permit in permits] == [0.0, 0.0, 20.25, 20.25, 40.5]
    assert [permit.waited_seconds for permit in permits] == [0.0, 0.0, 20.25, 0.0, 20.25]
    await governor.aclose()


async def test_in_one_process_a_permit_counts_from_its_writing_and_is_good_for_less_than_a_window() -> None:
    now = [0.0]
    budget = Budget(limits={False: 1, True: 1})
    governor = ProcessGovernor(budget=budget, now=lambda: now[0])
    permit = await governor.acquire(lane="people", deep=False)
    now[0] = 15.0
    assert governor.is_good(permit)
    await governor.sent(permit)
    assert take(budget, 20.0) == pytest.approx(15.0 + PERIOD + MARGIN - 20.0)
    now[0] = 15.1
    assert not governor.is_good(permit)


async def test_who_gives_up_waiting_leaves_the_lane_to_the_others() -> None:
    governor = ProcessGovernor(budget=Budget(limits={False: 1, True: 1}, period=0.05, margin=0.0))
    await governor.acquire(lane="people", deep=False)
    first = asyncio.create_task(governor.acquire(lane="people", deep=False))
    second = asyncio.create_task(governor.acquire(lane="people", deep=False))
    await asyncio.sleep(0)
    first.cancel()
    permit = await asyncio.wait_for(second, 5)
    assert math.isfinite(permit.taken_at)
    assert first.cancelled()
