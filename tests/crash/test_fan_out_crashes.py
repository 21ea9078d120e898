"""What dies in the middle of a fan-out: the rest goes on, the dead part continues, nothing is lost or done twice."""

import json
import random
import signal
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from tests.crash.crash_schedules import EVENTS, Schedule, draw, happen
from tests.fleet import GROUPS, FanOuts, Fleet
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

PARENT_PAGES = 1


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A simulator of this test: what a process asks that lives on cannot be taken for the next test's."""
    with SimulatorProcess(people=20, groups=GROUPS, latency_ms=150) as simulator:
        yield simulator


def test_a_killed_workers_children_continue_on_another_one(fleet: Fleet, world: SimulatorProcess) -> None:
    world.latency(600)
    fan_out = fleet.church("killed", world)
    fan_out.start()
    victim = fleet.workers[0]
    wait_until(lambda: len(fan_out.running(victim)) >= 2, "the worker has children in flight", seconds=60)

    fleet.kill(victim)
    in_flight = fan_out.running(victim)
    assert in_flight
    lost = {one.run_id for one in in_flight}
    wait_until(
        lambda: lost <= {one.run_id for one in fan_out.children() if one.state == "completed"},
        "another worker has done them",
        seconds=30,
    )

    world.latency(20)
    fan_out.wait_until_complete()
    fan_out.assert_nothing_lost_and_nothing_doubled(read_twice=len(in_flight) + PARENT_PAGES)
    names = Counter(str(one.state_name) for one in fan_out.flow_runs())
    assert names["Crashed"] >= 1, "the UI shows what happened"


def test_a_worker_that_overslept_its_lease_writes_nothing_of_what_others_took_over(
    fleet: Fleet, world: SimulatorProcess
) -> None:
    world.latency(800)
    fan_out = fleet.church("asleep", world)
    fan_out.start()
    sleeper = fleet.workers[0]
    wait_until(lambda: len(fan_out.running(sleeper)) >= 2, "the worker has children in flight", seconds=60)

    sleeper.send(signal.SIGSTOP)
    had = {one.run_id: one.fence for one in fan_out.running(sleeper)}
    world.latency(20)
    fan_out.wait_until_complete()
    before = ledger(fan_out)
    sleeper.send(signal.SIGCONT)
    own = {one.id for one in fan_out.flow_runs() if one.state is not None and not one.state.is_final()}
    wait_until(lambda: not own & unfinished(fan_out), "the sleeper has noticed", seconds=30)
    sleeper.send(signal.SIGTERM)
    sleeper.end()

    assert ledger(fan_out) == before
    heirs = {one.run_id: one.fence for one in fan_out.children() if one.run_id in had}
    assert all(heirs[run_id] > fence for run_id, fence in had.items())
    fan_out.assert_nothing_lost_and_nothing_doubled(read_twice=len(had) + PARENT_PAGES)


def ledger(fan_out: FanOuts) -> list[tuple[object, ...]]:
    """Every child and every page of a fan-out, as it was written last."""
    found = fan_out.church.sql(
        """
        SELECT run.run_id, run.state, run.fence, run.completed_at, page.offset, page.fence, page.committed_at
        FROM sync.runs AS run LEFT JOIN sync.pages AS page USING (run_id)
        WHERE run.parent_run_id = :root_id OR run.run_id = :root_id ORDER BY 1, 5
        """,
        root_id=fan_out.root().run_id,
    )
    return [tuple(row) for row in found]


def unfinished(fan_out: object) -> set[object]:
    """The flow runs of the fan-out that go on, by Prefect."""
    return {one.id for one in fan_out.flow_runs() if one.state is not None and not one.state.is_final()}  # type: ignore[attr-defined]


def test_a_parent_that_dies_between_commit_and_submission_loses_no_child(fleet: Fleet, world: SimulatorProcess) -> None:
    """Prefect does not answer while the children are written down, so that none of them can be submitted."""
    fleet.keep_workers(1)
    fan_out = fleet.church("orphaned", world)
    server = psutil.Process(json.loads((fleet.stack.home / "prefect-server.json").read_text())["pid"])
    family = [server, *server.children(recursive=True)]
    with fan_out.church.checkpoints_wait():
        fan_out.start()
        wait_until(
            lambda: fan_out.church.waiting_transactions() > 0, "the parents' page is about to be committed", seconds=60
        )
        for one in family:
            one.suspend()
    try:
        wait_until(lambda: len(fan_out.children()) == GROUPS, "the children are written down", seconds=30)
        fleet.kill(fleet.workers[0])
        assert all(one.flow_run_id is None for one in fan_out.children())
        assert fan_out.tally().keys() <= {"pending", "submitted"}
    finally:
        for one in family:
            one.resume()

    fleet.keep_workers(1)
    fan_out.wait_until_complete()
    fan_out.assert_nothing_lost_and_nothing_doubled(read_twice=PARENT_PAGES)


SUITE = [draw(seed, sorted(EVENTS)[hand::3]) for hand, seed in enumerate((0, 7, 2))]
"""Each kind of event once, in three fan-outs of four, ten and one group per run. The nightly run draws many more."""


@pytest.mark.parametrize("schedule", SUITE, ids=str)
def test_no_crash_schedule_loses_or_doubles_a_child(schedule: Schedule, fleet: Fleet, world: SimulatorProcess) -> None:
    survive(schedule, fleet, world)


@pytest.mark.nightly
@pytest.mark.parametrize("schedule", [draw(seed) for seed in range(100, 200)], ids=str)
def test_none_of_a_hundred_does(schedule: Schedule, fleet: Fleet, world: SimulatorProcess) -> None:
    survive(schedule, fleet, world)


def survive(schedule: Schedule, fleet: Fleet, world: SimulatorProcess) -> None:
    """Run a fan-out through a schedule, and look at what came of it."""
    fan_out = fleet.church(f"seed-{schedule.seed}", world)
    chance = random.Random(schedule.seed)
    fan_out.start(groups_per_run=schedule.groups_per_run, most_under_way=20)
    for event in schedule.events:
        happen(event, fleet, fan_out, chance)
    fan_out.wait_until_complete()
    fan_out.assert_nothing_lost_and_nothing_doubled(read_twice=schedule.most_read_twice)
