"""The flow's state, its artifact and the kept proof say the same, and claim no more than was compared."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.client.schemas.objects import Artifact as KeptArtifact
from prefect.client.schemas.objects import State

from flows.verify_entity import verify_entity
from tests.church import Church
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

PEOPLE = 60


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=3) as simulator:
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    return church.served_by(world)


def verify(church: Church, entity: str = "people.Person", **parameters: Any) -> State[Any]:
    state: State[Any] = verify_entity(church.org_id, entity, return_state=True, **parameters)
    return state


def test_state_artifact_and_kept_proof_are_one_result(church: Church) -> None:
    church.sync()
    state = verify(church, method="full")
    (kept,) = church.sql("SELECT * FROM sync.proofs")
    assert (state.name, state.message) == (kept.verdict, kept.facts["message"]) == ("Exact", state.message)
    assert kept.facts["flow_run_id"] == str(state.state_details.flow_run_id)
    artifact = Artifact.get("proof-grace-people-person")
    assert isinstance(artifact, KeptArtifact)
    assert str(artifact.description) == f"people.Person of grace, by full: Exact. {state.message}"


def test_people_without_a_time_of_creation_are_never_left_out_of_an_exact_mirror(
    moving: Church, world: SimulatorProcess
) -> None:
    """`where[created_at]`, which makes the walk safe, leaves them out."""
    blank = {"created_at": None, "updated_at": "2020-01-01T00:00:00Z"}
    world.churn(
        [{"operation": "edit", "entity": "people.Person", "place": place, "attributes": blank} for place in range(5)]
    )
    moving.sync()
    mirrored = len(moving.rows())
    for method, agrees in (("count", "CountsAgree"), ("sample", "SampleAgrees"), ("full", "Exact")):
        assert verify(moving, method=method).name == (agrees if mirrored == PEOPLE else "Different")


def test_a_changed_value_is_found_where_planning_center_keeps_no_time_of_change(
    moving: Church, world: SimulatorProcess
) -> None:
    moving.sync("people.MaritalStatus")
    assert verify(moving, "people.MaritalStatus", method="full").name == "Exact"
    world.churn(
        [{"operation": "edit", "entity": "people.MaritalStatus", "place": 0, "attributes": {"value": "Changed"}}]
    )
    state = verify(moving, "people.MaritalStatus", method="full")
    assert (state.name, str(state.message).split(";")[0]) == ("Different", "1 outdated")


def test_records_without_an_id_keep_a_mirror_from_being_exact(moving: Church, world: SimulatorProcess) -> None:
    """They are in quarantine (#1423, #1467)."""
    ids = [one["id"] for one in world.state("people.Person")][7:9]
    world.faults([{"kind": "null-id", "record_id": one, "permanent": True} for one in ids])
    moving.sync()
    for method in ("count", "sample", "full"):
        state = verify(moving, method=method)
        assert (state.name, "2 in quarantine" in str(state.message)) == ("Incomplete", True)


def test_a_verify_while_a_sync_runs_takes_its_work_for_no_difference(moving: Church, world: SimulatorProcess) -> None:
    moving.sync()
    world.clock(ahead_seconds=60)
    world.churn([{"operation": "edit", "entity": "people.Person", "place": place} for place in (1, 2, 3)])
    world.churn([{"operation": "create", "entity": "people.Person", "count": 2}])
    with ThreadPoolExecutor(1) as pool, moving.checkpoints_wait():
        running = pool.submit(copy_context().run, moving.sync)
        wait_until(lambda: moving.waiting_transactions() > 0, "the sync's page waits for its commit")
        assert verify(moving, method="full").name == "ExactAsOf"
    running.result()
    assert verify(moving, method="full").name == "Exact"


@pytest.mark.parametrize("org_id", ["grace", "typo"])
def test_what_was_never_read_completely_is_an_error(church: Church, org_id: str) -> None:
    state: State[Any] = verify_entity(org_id, "people.Person", return_state=True)
    assert state.is_failed()
    assert f"people.Person of {org_id} was never read completely" in str(state.message)
    assert church.sql("SELECT * FROM sync.proofs") == []
