"""What a fan-out is said to be doing, and when it is over: never by what an earlier turn of it has left."""

from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from deployments.ended import failure_of
from deployments.watching.fan_outs import EndedBeforeItBeganError, FanOutView, has_ended_badly, is_begun, is_over
from pco_store.ledger.fan_outs import FanOutCounts
from pco_store.ledger.results import LedgerRun


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


def started(kind: StateType | None, message: str = "") -> FlowRun:
    """The flow run that a command has started for the fan-out."""
    state: State[None] | None = None if kind is None else State(type=kind, message=message)
    return FlowRun(flow_id=uuid4(), name="blue-fox", state=state)


def in_the_ledger(state: str) -> LedgerRun:
    """The fan-out as an earlier flow run has left it."""
    return LedgerRun(
        run_id=1,
        org_id="grace",
        entity="groups.Membership",
        epoch="e",
        key="k",
        mode="full",
        state=state,
        error=None,
        flow_run_id="an earlier one",
        result=None,
    )


@pytest.mark.parametrize("state", ["cancelled", "failed", "completed"])
def test_what_an_earlier_turn_has_left_is_not_shown_as_the_one_that_was_started(state: str) -> None:
    run = in_the_ledger(state)
    for kind in (None, StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.FAILED):
        assert not is_begun(run, started(kind))
    assert is_begun(run, started(StateType.COMPLETED)), "it has joined it"
    assert is_begun(run, None), "nothing was started: the ledger alone says it"


@pytest.mark.parametrize("state", ["running", "awaiting"])
def test_what_others_work_on_is_shown_at_once_and_waited_for_to_its_end(state: str) -> None:
    run = in_the_ledger(state)
    assert is_begun(run, started(StateType.SCHEDULED))
    assert is_begun(run, started(StateType.CRASHED)), "others go on"
    assert not is_over(started(StateType.RUNNING))
    assert is_over(started(StateType.COMPLETED))


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(StateType.FAILED, "failed"), (StateType.CRASHED, "failed"), (StateType.CANCELLED, "cancelled")],
)
def test_a_flow_run_that_ends_before_it_took_the_fan_out_is_its_own_result(kind: StateType, outcome: str) -> None:
    flow_run = started(kind, "the client is invalid")
    assert has_ended_badly(flow_run)
    error = EndedBeforeItBeganError(failure_of(flow_run))
    assert (error.failure.outcome, str(error)) == (outcome, "the client is invalid")
    assert not has_ended_badly(started(StateType.COMPLETED))
    assert not has_ended_badly(started(StateType.RUNNING))
