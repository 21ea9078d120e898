"""Which run of the ledger is watched for a flow run, and when it is over: never by what an earlier turn has left."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType, Worker, WorkerStatus
from sqlalchemy import text

from deployments.watching.announced import failure_of
from deployments.watching.followed import PATIENCE_FOR_A_WORKER, Followed, FollowedFlowRun
from pco_store.database import Database
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key

ENTITY = "groups.Membership"


class Prefect:
    """A server of Prefect that knows one flow run, and the workers of its pool."""

    def __init__(self, kind: StateType | None, *, message: str = "", online: int = 1, busy: int = 0) -> None:
        self.flow_run = FlowRun(id=uuid4(), flow_id=uuid4(), name="grace: groups.Membership", work_pool_name="pco-sync")
        self.online, self.busy = online, busy
        self.become(kind, message)

    def become(self, kind: StateType | None, message: str = "") -> None:
        """The flow run's next state."""
        state: State[Any] | None = None if kind is None else State(type=kind, message=message)
        self.flow_run = self.flow_run.model_copy(update={"state": state})

    async def read_flow_run(self, _: UUID) -> FlowRun:
        return self.flow_run

    async def read_workers_for_work_pool(self, _: str) -> list[Worker]:
        offline = Worker(name="gone", work_pool_id=uuid4(), status=WorkerStatus.OFFLINE)
        online = Worker(name="here", work_pool_id=uuid4(), status=WorkerStatus.ONLINE)
        return [offline, *[online] * self.online]

    async def count_flow_runs(self, **_: Any) -> int:
        return self.busy


def following(store: Database, prefect: Prefect, *, epoch: str | None = None) -> Followed:
    flow_run = FollowedFlowRun(prefect, prefect.flow_run)  # type: ignore[arg-type]
    return Followed(store, flow_run, org_id="grace", entity=ENTITY, scope=FAN_OUT_SCOPE, mode="full", epoch=epoch)


async def in_the_ledger(store: Database, state: str, flow_run: str = "an earlier one", turn: int = 1) -> None:
    """The fan-out as a flow run has left it."""
    key = sync_key("grace", ENTITY, f"e{turn}", FAN_OUT_SCOPE)
    async with store.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO sync.runs (org_id, entity, scope, epoch, turn, key, state, mode, fence, owner, "
                "lease_until, page_size, flow_run_id) VALUES ('grace', :entity, '*', :epoch, :turn, :key, "
                ":state, 'full', 1, 'a test', now(), 100, :flow_run)"
            ),
            {"entity": ENTITY, "epoch": f"e{turn}", "turn": turn, "key": key, "state": state, "flow_run": flow_run},
        )


async def set_state(store: Database, state: str) -> None:
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE sync.runs SET state = :state"), {"state": state})


@pytest.mark.parametrize("state", ["cancelled", "failed", "completed"])
async def test_what_an_earlier_turn_has_left_is_not_taken_for_what_was_started(store: Database, state: str) -> None:
    await in_the_ledger(store, state)
    for kind in (None, StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING):
        followed = following(store, Prefect(kind))
        assert not await followed.look(0)
        assert (followed.run, followed.others) == (None, None)
    failed = following(store, Prefect(StateType.FAILED))
    assert await failed.look(0)
    assert failed.run is None
    joined = following(store, Prefect(StateType.COMPLETED), epoch="e1")
    assert await joined.look(0)
    assert joined.run is not None, "it has joined it"


@pytest.mark.parametrize("state", ["running", "awaiting"])
async def test_what_others_work_on_is_shown_at_once_and_followed_once_it_is_joined(store: Database, state: str) -> None:
    await in_the_ledger(store, state)
    prefect = Prefect(StateType.SCHEDULED)
    followed = following(store, prefect)
    assert not await followed.look(0)
    assert followed.run is None
    assert followed.others is not None
    prefect.become(StateType.COMPLETED)
    followed = following(store, prefect)
    assert not await followed.look(0), "the flow run is over, the fan-out is not"
    await set_state(store, "completed")
    assert await followed.look(0)
    assert followed.run is not None
    assert followed.run.state == "completed"


async def test_what_the_flow_run_has_taken_is_over_when_the_ledger_says_so_whoever_ends_it(store: Database) -> None:
    prefect = Prefect(StateType.RUNNING)
    await in_the_ledger(store, "completed", turn=1)
    await in_the_ledger(store, "running", str(prefect.flow_run.id), turn=2)
    followed = following(store, prefect)
    assert not await followed.look(0)
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET flow_run_id = 'one that continues it', state = 'completed'")
        )
    assert await followed.look(0), "although Prefect believes that the first one runs"
    assert followed.run is not None
    assert followed.run.epoch == "e2"


async def test_a_flow_run_that_crashed_is_followed_by_the_one_that_continues_its_work(store: Database) -> None:
    await in_the_ledger(store, "failed")
    followed = following(store, Prefect(StateType.CRASHED))
    assert await followed.look(0)
    assert followed.run is None, "this is an earlier turn"
    await set_state(store, "running")
    followed = following(store, Prefect(StateType.CRASHED))
    assert not await followed.look(0)
    assert followed.run is not None


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(StateType.FAILED, "failed"), (StateType.CRASHED, "failed"), (StateType.CANCELLED, "cancelled")],
)
async def test_a_flow_run_that_ends_before_it_took_anything_is_its_own_result(
    store: Database, kind: StateType, outcome: str
) -> None:
    followed = following(store, Prefect(kind, message="the client is invalid"))
    assert await followed.look(0)
    failure = failure_of(followed.flow_run.flow_run)
    assert (failure.outcome, failure.reason) == (outcome, "the client is invalid")


@pytest.mark.parametrize(
    ("online", "busy", "told"),
    [
        (0, 0, "no worker is online, `pco-sync worker` starts one"),
        (1, 1, "waiting, the workers are busy with 1 run"),
        (1, 1200, "waiting, the workers are busy with 1,200 runs"),
        (1, 0, "waiting for a worker"),
    ],
)
async def test_what_keeps_a_flow_run_from_beginning_is_said(online: int, busy: int, told: str) -> None:
    prefect = Prefect(StateType.SCHEDULED, online=online, busy=busy)
    waits = FollowedFlowRun(prefect, prefect.flow_run)  # type: ignore[arg-type]
    await waits.look(PATIENCE_FOR_A_WORKER + 1)
    assert waits.told == told
    prefect.become(StateType.RUNNING)
    began = FollowedFlowRun(prefect, prefect.flow_run)  # type: ignore[arg-type]
    assert began.told == "starting"
